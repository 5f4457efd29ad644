/* system/pem.c - one certificate between -----BEGIN CERTIFICATE----- and its end */
#include "system/pem.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LINE_BYTES 48 /* 64 letters */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static const char *find(const char *text, size_t len, const char *what)
{
	return len ? memmem(text, len, what, strlen(what)) : NULL;
}

/* The base64 in TEXT, blanks and line ends aside.  Bytes, or -EINVAL. */
static ssize_t decode(const char *text, size_t len, unsigned char *out)
{
	uint32_t group = 0;
	size_t n = 0, filled = 0, pads = 0;
	bool over = false;

	for (size_t i = 0; i < len; i++) {
		const char *at = text[i] ? strchr(letters, text[i]) : NULL;

		if (text[i] && strchr(" \t\r\n", text[i]))
			continue;
		if (over || (!at && text[i] != '=') || (at && pads))
			return -EINVAL;
		pads += !at;
		group = group << 6 | (at ? (uint32_t)(at - letters) : 0);
		if (++filled < 4)
			continue;
		if (pads > 2)
			return -EINVAL;
		for (size_t k = 0; k < 3 - pads; k++)
			out[n++] = (unsigned char)(group >> (16 - 8 * k));
		filled = 0;
		group = 0;
		over = pads > 0;
	}
	return filled ? -EINVAL : (ssize_t)n;
}

ssize_t pem_decode(const char *text, size_t len, unsigned char *der, const char **why)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----",
			  end[] = "-----END CERTIFICATE-----";
	const char *from = find(text, len, "-----BEGIN "), *to;
	ssize_t n;

	*why = "it holds no -----BEGIN CERTIFICATE-----";
	if (!from)
		return -EINVAL;
	*why = "it holds something else than a certificate";
	len -= (size_t)(from - text);
	if (len < strlen(begin) || memcmp(from, begin, strlen(begin)) != 0)
		return -EINVAL;
	from += strlen(begin);
	len -= strlen(begin);
	*why = "its certificate has no end";
	to = find(from, len, end);
	if (!to)
		return -EINVAL;
	*why = "it holds more than one certificate: install each under a name of its own";
	if (find(to, len - (size_t)(to - from), "-----BEGIN "))
		return -EINVAL;
	*why = "its certificate is no base64";
	n = decode(from, (size_t)(to - from), der);
	if (n <= 0)
		return -EINVAL;
	return n;
}

static void encode_group(const unsigned char *in, size_t n, char *out)
{
	uint32_t group = (uint32_t)in[0] << 16 | (uint32_t)(n > 1 ? in[1] : 0) << 8 |
			 (uint32_t)(n > 2 ? in[2] : 0);

	for (size_t i = 0; i < 4; i++)
		out[i] = '=';
	for (size_t i = 0; i <= n; i++)
		out[i] = letters[group >> (18 - 6 * i) & 63];
}

size_t pem_encode(const unsigned char *der, size_t len, char *out)
{
	size_t n = sizeof(PEM_BEGIN) - 1;

	memcpy(out, PEM_BEGIN, n);
	for (size_t i = 0; i < len; i += 3) {
		encode_group(der + i, MIN(len - i, 3), out + n);
		n += 4;
		if ((i + 3) % LINE_BYTES == 0 || i + 3 >= len)
			out[n++] = '\n';
	}
	memcpy(out + n, PEM_END, sizeof(PEM_END));
	return n + sizeof(PEM_END) - 1;
}
