/* proto/cobs.c - frames for serial lines */
#include "proto/cobs.h"

#include <errno.h>
#include <string.h>

#define CRC_LEN 4

size_t cobs_encode(const void *bytes, size_t len, void *out)
{
	const unsigned char *in = bytes;
	unsigned char *start = out, *code = start, *p = start + 1;
	unsigned char run = 1; /* distance from the code byte to the next zero */

	for (size_t i = 0; i < len; i++) {
		if (in[i]) {
			*p++ = in[i];
			run++;
		}
		/* A full run of 254 carries no zero; at the very end it needs no further code. */
		if (!in[i] || (run == 0xff && i + 1 < len)) {
			*code = run;
			code = p++;
			run = 1;
		}
	}
	*code = run;
	return (size_t)(p - start);
}

ssize_t cobs_decode(const void *bytes, size_t len, void *out)
{
	const unsigned char *in = bytes, *end = in + len;
	unsigned char *start = out, *p = start;

	if (len == 0)
		return -EBADMSG;
	while (in < end) {
		unsigned char code = *in++;

		if (code == 0 || (size_t)(end - in) < (size_t)code - 1)
			return -EBADMSG;
		for (unsigned char i = 1; i < code; i++) {
			if (*in == 0)
				return -EBADMSG;
			*p++ = *in++;
		}
		if (code < 0xff && in < end)
			*p++ = 0;
	}
	return p - start;
}

size_t serial_frame_encode(void *message, size_t len, void *out)
{
	unsigned char *m = message, *o = out;
	uint32_t crc = crc32_ieee(message, len);
	size_t n;

	for (size_t i = 0; i < CRC_LEN; i++)
		m[len + i] = (unsigned char)(crc >> (8 * i));
	o[0] = 0;
	n = 1 + cobs_encode(m, len + CRC_LEN, o + 1);
	o[n] = 0;
	return n + 1;
}

ssize_t serial_frame_decode(void *bytes, size_t len)
{
	unsigned char *p = bytes;
	ssize_t n = cobs_decode(bytes, len, bytes);
	uint32_t crc = 0;

	if (n <= CRC_LEN)
		return -EBADMSG;
	n -= CRC_LEN;
	for (size_t i = 0; i < CRC_LEN; i++)
		crc |= (uint32_t)p[(size_t)n + i] << (8 * i);
	return crc == crc32_ieee(bytes, (size_t)n) ? n : -EBADMSG;
}

/* Four bits at a time: 64 bytes of table, fast enough for any serial line. */
uint32_t crc32_ieee(const void *bytes, size_t len)
{
	static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
		0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8,
		0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
	const unsigned char *p = bytes;
	uint32_t crc = 0xffffffff;

	while (len--) {
		crc ^= *p++;
		crc = (crc >> 4) ^ table[crc & 0xf];
		crc = (crc >> 4) ^ table[crc & 0xf];
	}
	return ~crc;
}
