/* proto/val.c - msgpack-c's objects behind our own names */
#include "proto/val.h"

#include <math.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* The zone takes its first chunk in this size: enough for an ordinary request. */
#define ZONE_CHUNK 2048

struct doc {
	msgpack_zone zone;
	msgpack_object root;
};

static const msgpack_object *obj(const struct val *v)
{
	return (const msgpack_object *)(const void *)v;
}

static const struct val *as_val(const msgpack_object *o)
{
	return (const struct val *)(const void *)o;
}

struct doc *doc_parse(const char *bytes, size_t len)
{
	struct doc *doc = malloc(sizeof(*doc));
	size_t off = 0;

	if (!doc)
		return NULL;
	if (!msgpack_zone_init(&doc->zone, ZONE_CHUNK)) {
		free(doc);
		return NULL;
	}
	if (msgpack_unpack(bytes, len, &off, &doc->zone, &doc->root) != MSGPACK_UNPACK_SUCCESS ||
		off != len) {
		doc_free(doc);
		return NULL;
	}
	return doc;
}

void doc_free(struct doc *doc)
{
	if (!doc)
		return;
	msgpack_zone_destroy(&doc->zone);
	free(doc);
}

const struct val *doc_root(const struct doc *doc)
{
	return as_val(&doc->root);
}

enum val_type val_type(const struct val *v)
{
	if (!v)
		return VAL_NIL;
	switch (obj(v)->type) {
	case MSGPACK_OBJECT_BOOLEAN:
		return VAL_BOOL;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
		return VAL_INT;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		return VAL_FLOAT;
	case MSGPACK_OBJECT_STR:
		return VAL_STR;
	case MSGPACK_OBJECT_BIN:
		return VAL_BIN;
	case MSGPACK_OBJECT_ARRAY:
		return VAL_ARRAY;
	case MSGPACK_OBJECT_MAP:
		return VAL_MAP;
	case MSGPACK_OBJECT_EXT:
		return VAL_EXT;
	case MSGPACK_OBJECT_NIL:
	default:
		return VAL_NIL;
	}
}

bool val_bool(const struct val *v, bool *out)
{
	if (val_type(v) != VAL_BOOL)
		return false;
	*out = obj(v)->via.boolean;
	return true;
}

/* Some libraries send every number above 2^32 as a float. */
static bool whole(double d)
{
	return d >= -9007199254740992.0 && d <= 9007199254740992.0 && floor(d) == d;
}

bool val_int(const struct val *v, int64_t *out)
{
	if (val_type(v) == VAL_FLOAT && whole(obj(v)->via.f64)) {
		*out = (int64_t)obj(v)->via.f64;
		return true;
	}
	if (val_type(v) != VAL_INT)
		return false;
	if (obj(v)->type == MSGPACK_OBJECT_POSITIVE_INTEGER && obj(v)->via.u64 > INT64_MAX)
		return false;
	*out = obj(v)->via.i64;
	return true;
}

bool val_uint(const struct val *v, uint64_t *out)
{
	int64_t i;

	if (val_type(v) == VAL_INT && obj(v)->type == MSGPACK_OBJECT_POSITIVE_INTEGER) {
		*out = obj(v)->via.u64;
		return true;
	}
	if (!val_int(v, &i) || i < 0)
		return false;
	*out = (uint64_t)i;
	return true;
}

bool val_float(const struct val *v, double *out)
{
	if (val_type(v) != VAL_FLOAT)
		return false;
	*out = obj(v)->via.f64;
	return true;
}

bool val_bytes(const struct val *v, const char **bytes, size_t *len)
{
	switch (val_type(v)) {
	case VAL_STR:
		*bytes = obj(v)->via.str.ptr;
		*len = obj(v)->via.str.size;
		return true;
	case VAL_BIN:
		*bytes = obj(v)->via.bin.ptr;
		*len = obj(v)->via.bin.size;
		return true;
	default:
		return false;
	}
}

size_t val_count(const struct val *v)
{
	switch (val_type(v)) {
	case VAL_ARRAY:
		return obj(v)->via.array.size;
	case VAL_MAP:
		return obj(v)->via.map.size;
	default:
		return 0;
	}
}

const struct val *val_at(const struct val *array, size_t i)
{
	ASSERT(val_type(array) == VAL_ARRAY && i < val_count(array));
	return as_val(&obj(array)->via.array.ptr[i]);
}

const struct val *val_key(const struct val *map, size_t i)
{
	ASSERT(val_type(map) == VAL_MAP && i < val_count(map));
	return as_val(&obj(map)->via.map.ptr[i].key);
}

const struct val *val_value(const struct val *map, size_t i)
{
	ASSERT(val_type(map) == VAL_MAP && i < val_count(map));
	return as_val(&obj(map)->via.map.ptr[i].val);
}

const struct val *val_get(const struct val *map, const char *key)
{
	size_t n = val_type(map) == VAL_MAP ? val_count(map) : 0;

	for (size_t i = 0; i < n; i++) {
		const char *bytes;
		size_t len;

		if (val_bytes(val_key(map, i), &bytes, &len) && len == strlen(key) &&
			memcmp(bytes, key, len) == 0)
			return val_value(map, i);
	}
	return NULL;
}
