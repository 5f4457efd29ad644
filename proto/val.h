/*
 * proto/val.h - reading a msgpack value that was scanned
 *
 * A thin, typed view over msgpack-c, whose header stays inside proto/.
 *
 *	struct doc *doc = doc_parse(span.bytes, span.len);
 *	const struct val *v = val_get(doc_root(doc), "code");
 *
 * A doc owns its values; strings and bins point into the bytes that were parsed, so a value
 * lives as long as both.  Thread: one at a time.
 */
#ifndef PROTO_VAL_H
#define PROTO_VAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct doc;
struct val;

enum val_type {
	VAL_NIL,
	VAL_BOOL,
	VAL_INT,
	VAL_FLOAT,
	VAL_STR,
	VAL_BIN,
	VAL_ARRAY,
	VAL_MAP,
	VAL_EXT
};

/* BYTES must have passed scan_message.  NULL when memory is out or they are no single value. */
struct doc *doc_parse(const char *bytes, size_t len);
void doc_free(struct doc *doc);
const struct val *doc_root(const struct doc *doc);

/* The type of V; a NULL V is VAL_NIL: an absent parameter and nil are the same. */
enum val_type val_type(const struct val *v);

/* Each is false when V is something else (also NULL) or the number does not fit. */
bool val_bool(const struct val *v, bool *out);
bool val_int(const struct val *v, int64_t *out);   /* also a float without a fraction */
bool val_uint(const struct val *v, uint64_t *out); /* likewise */
bool val_float(const struct val *v, double *out);
bool val_bytes(const struct val *v, const char **bytes, size_t *len); /* str and bin alike */

/* Elements of an array, pairs of a map, 0 of anything else. */
size_t val_count(const struct val *v);
const struct val *val_at(const struct val *array, size_t i);
const struct val *val_key(const struct val *map, size_t i);
const struct val *val_value(const struct val *map, size_t i);

/* The value of KEY in a map; NULL where there is none. */
const struct val *val_get(const struct val *map, const char *key);

#endif
