/*
 * proto/scan.h - is this one complete msgpack array, and what would it cost to decode?
 *
 * msgpack-c allocates for an array or map as many elements as its header claims, before it
 * looks at them: five bytes can ask for gigabytes.  So every message passes here first: one
 * pass, no allocation, every count checked against the bytes that are there.
 */
#ifndef PROTO_SCAN_H
#define PROTO_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One element of the outermost array. */
struct span {
	const char *bytes;
	size_t len;
	size_t elements; /* values in it, itself included */
};

#define MESSAGE_MAX_PARTS 4

struct scan {
	size_t n_parts; /* elements of the outermost array */
	struct span part[MESSAGE_MAX_PARTS];
	const char *why; /* set on failure */
};

/* 0, or ERR_PROTOCOL with out->why. */
int scan_message(const char *bytes, size_t len, struct scan *out);

/*
 * The envelope of a message is read from the spans, so that bulk data meets no decoder.
 * False when the span is something else.
 */
bool span_uint(const struct span *span, uint64_t *out);
bool span_bytes(const struct span *span, const char **bytes, size_t *len); /* str or bin */

#endif
