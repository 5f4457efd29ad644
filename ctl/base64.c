/* ctl/base64.c - base64 as in RFC 4648, with padding */
#include "ctl/base64.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *bytes, size_t len, char *out)
{
	const unsigned char *p = bytes;

	for (; len; p += 3, out += 4) {
		size_t n = len < 3 ? len : 3;
		uint32_t v = (uint32_t)p[0] << 16;

		if (n > 1)
			v |= (uint32_t)p[1] << 8;
		if (n > 2)
			v |= p[2];
		out[0] = digits[v >> 18];
		out[1] = digits[v >> 12 & 63];
		if (n > 1)
			out[2] = digits[v >> 6 & 63];
		else
			out[2] = '=';
		if (n > 2)
			out[3] = digits[v & 63];
		else
			out[3] = '=';
		len -= n;
	}
}

/* The value of a digit, or -1. */
static int digit(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

ssize_t base64_decode(const char *text, size_t len, void *out)
{
	unsigned char *p = out;
	size_t padding = 0;

	if (len % 4)
		return -EINVAL;
	while (padding < 2 && padding < len && text[len - padding - 1] == '=')
		padding++;
	for (size_t i = 0; i < len; i += 4) {
		size_t n = i + 4 == len ? 4 - padding : 4; /* digits in this group */
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			int d = k < n ? digit(text[i + k]) : 0;

			if (d < 0)
				return -EINVAL;
			v = v << 6 | (uint32_t)d;
		}
		for (size_t k = 0; k + 1 < n; k++)
			*p++ = (unsigned char)(v >> (16 - 8 * k));
	}
	return p - (unsigned char *)out;
}
