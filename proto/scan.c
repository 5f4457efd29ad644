/*
 * proto/scan.c - one pass over a message, without allocating
 *
 * A stack of how many values are still missing at each depth replaces recursion.  The formats
 * are those of the msgpack specification; 0xc1 is the one byte that is never used.
 */
#include "proto/scan.h"

#include "proto/err.h"
#include "proto/limits.h"

/* What stands behind a first byte. */
struct shape {
	size_t head;       /* bytes of the header, the first one included */
	uint64_t payload;  /* bytes behind it: 2^32 with an ext's type */
	uint64_t children; /* values behind it: up to 2^33 in a map */
	int container;
};

static uint64_t big_endian(const unsigned char *p, size_t n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

/* The shape of the value at P, of which LEFT bytes are there; -1 for what cannot be one. */
static int shape_at(const unsigned char *p, size_t left, struct shape *s)
{
	unsigned char b = *p;
	size_t width;

	*s = (struct shape){.head = 1};
	if (b <= 0x7f || b >= 0xe0 || b == 0xc0 || b == 0xc2 || b == 0xc3)
		return 0; /* small integers, nil, booleans */
	if (b == 0xc1)
		return -1;
	if (b <= 0x9f) { /* fixmap, fixarray */
		s->container = 1;
		s->children = b <= 0x8f ? 2u * (b & 0x0f) : b & 0x0f;
		return 0;
	}
	if (b <= 0xbf) { /* fixstr */
		s->payload = b & 0x1f;
		return 0;
	}
	if (b >= 0xca && b <= 0xd3) { /* float 32/64, uint 8..64, int 8..64 */
		static const unsigned char sizes[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8};

		s->payload = sizes[b - 0xca];
		return 0;
	}
	if (b >= 0xd4 && b <= 0xd8) { /* fixext: a type byte, then 1..16 */
		s->payload = 1 + ((size_t)1 << (b - 0xd4));
		return 0;
	}
	if (b <= 0xc9)
		width = (size_t)1 << ((b - 0xc4) % 3); /* bin 8/16/32, ext 8/16/32 */
	else if (b <= 0xdb)
		width = (size_t)1 << (b - 0xd9); /* str 8/16/32 */
	else
		width = (size_t)2 << (b & 1); /* array 16/32, map 16/32 */
	s->head = 1 + width;
	if (left < s->head)
		return -1;
	s->payload = big_endian(p + 1, width);
	if (b >= 0xc7 && b <= 0xc9)
		s->payload++; /* the ext type */
	if (b >= 0xdc) {
		s->container = 1;
		s->children = s->payload << (b >= 0xde);
		s->payload = 0;
	}
	return 0;
}

static int fail(struct scan *out, const char *why)
{
	out->why = why;
	return ERR_PROTOCOL;
}

int scan_message(const char *bytes, size_t len, struct scan *out)
{
	const unsigned char *p = (const unsigned char *)bytes;
	const unsigned char *end = p + len;
	size_t missing[MAX_DEPTH]; /* values still to come in the container at that depth */
	size_t depth = 0;
	struct span *part = NULL; /* the element of the outermost array that we are in */
	struct shape s;

	*out = (struct scan){0};
	if (len == 0 || shape_at(p, len, &s) < 0 || !s.container || (*p & 0xf0) == 0x80 ||
		*p >= 0xde)
		return fail(out, "not an array");
	if (s.children > len - s.head)
		return fail(out, "an array claims more elements than there are bytes");
	p += s.head;
	out->n_parts = s.children;
	missing[depth++] = s.children;
	for (;;) {
		while (depth && missing[depth - 1] == 0) {
			depth--;
			if (depth == 1 && part)
				part->len = (size_t)((const char *)p - part->bytes);
		}
		if (depth == 0)
			break;
		if (p == end)
			return fail(out, "the array is not complete");
		missing[depth - 1]--;
		if (depth == 1) {
			size_t i = out->n_parts - missing[0] - 1;

			part = i < MESSAGE_MAX_PARTS ? &out->part[i] : NULL;
			if (part)
				part->bytes = (const char *)p;
		}
		if (part)
			part->elements++;
		if (shape_at(p, (size_t)(end - p), &s) < 0)
			return fail(out, "not msgpack");
		if (s.head > (size_t)(end - p) || s.payload > (size_t)(end - p) - s.head)
			return fail(out, "a value is longer than the message");
		p += s.head + s.payload;
		if (depth == 1 && part)
			part->len = (size_t)((const char *)p - part->bytes);
		if (!s.container)
			continue;
		if (depth == MAX_DEPTH)
			return fail(out, "nested deeper than 16");
		if (s.children > (size_t)(end - p))
			return fail(out, "an array claims more elements than there are bytes");
		missing[depth++] = s.children;
	}
	if (p != end)
		return fail(out, "bytes behind the array");
	return 0;
}

bool span_uint(const struct span *span, uint64_t *out)
{
	const unsigned char *p = (const unsigned char *)span->bytes;

	if (span->len == 0)
		return false;
	if (*p <= 0x7f) {
		*out = *p;
		return true;
	}
	if (*p >= 0xcc && *p <= 0xcf) {
		*out = big_endian(p + 1, span->len - 1);
		return true;
	}
	/* A signed type that holds no sign. */
	if (*p >= 0xd0 && *p <= 0xd3 && !(p[1] & 0x80)) {
		*out = big_endian(p + 1, span->len - 1);
		return true;
	}
	return false;
}

bool span_bytes(const struct span *span, const char **bytes, size_t *len)
{
	const unsigned char *p = (const unsigned char *)span->bytes;
	struct shape s;

	if (span->len == 0)
		return false;
	if (!((*p >= 0xa0 && *p <= 0xbf) || (*p >= 0xc4 && *p <= 0xc6) ||
		    (*p >= 0xd9 && *p <= 0xdb)))
		return false;
	if (shape_at(p, span->len, &s) < 0)
		return false;
	*bytes = span->bytes + s.head;
	*len = s.payload;
	return true;
}
