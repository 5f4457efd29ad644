/* proto/args.c - parameters as a typed table, decoded into a struct */
#include "proto/args.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/err.h"
#include "proto/limits.h"
#include "proto/val.h"

#define NIL_BYTE     '\xc0' /* msgpack's nil: the parameters of many a call */
#define INT_MAX_WIRE (INT64_C(1) << 53)

struct decoder {
	struct arena *arena;
	char *why;
	size_t why_len;
};

static int bad(struct decoder *d, const char *fmt, ...) PRINTF(2, 3);

static int bad(struct decoder *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->why, d->why_len, fmt, ap);
	va_end(ap);
	return ERR_BAD_PARAMS;
}

static int out_of_arena(struct decoder *d)
{
	snprintf(d->why, d->why_len, "the parameters need more memory than a request may have");
	return ERR_LIMIT;
}

const char *arg_abs_path(const char *value)
{
	return value[0] == '/' ? NULL : "an absolute path";
}

/* The largest slot that a vector of TABLE has. */
static size_t slot_size(const struct arg *table)
{
	size_t size = sizeof(struct pair);

	for (const struct arg *row = table; row->name; row++) {
		if (row->type == ARG_ITEMS)
			size = MAX(size, row->item_size);
		if (row->part)
			size = MAX(size, slot_size(row->part));
	}
	return size;
}

size_t args_size(const struct arg *table, const struct span *params)
{
	/* A value costs at most a vector's slot, its alignment and a string's NUL. */
	return params->len + params->elements * (slot_size(table) + 16 + 1) + 64;
}

/* A string without NUL in it; *OUT is a terminated copy. */
static int take_str(struct decoder *d, const struct val *v, const char *name, const char **out)
{
	const char *bytes;
	size_t len;

	if (!val_bytes(v, &bytes, &len))
		return bad(d, "parameter %s must be text", name);
	if (memchr(bytes, '\0', len))
		return bad(d, "parameter %s must not hold a NUL byte", name);
	*out = arena_copy(d->arena, bytes, len);
	return *out ? 0 : out_of_arena(d);
}

static int take_digits(
	struct decoder *d, const struct val *v, const struct arg *row, const char **out)
{
	char text[24];
	int64_t n;
	int len;

	if (!val_int(v, &n))
		return bad(d, "parameter %s is out of range", row->name);
	len = snprintf(text, sizeof(text), "%lld", (long long)n);
	*out = arena_copy(d->arena, text, (size_t)len);
	return *out ? 0 : out_of_arena(d);
}

static int take_bytes(
	struct decoder *d, const struct val *v, const struct arg *row, struct bytes *out)
{
	const char *bytes;
	size_t len;

	if (!val_bytes(v, &bytes, &len))
		return bad(d, "parameter %s must be bytes", row->name);
	out->at = arena_copy(d->arena, bytes, len);
	out->len = len;
	return out->at ? 0 : out_of_arena(d);
}

static int take_number(struct decoder *d, const struct val *v, const struct arg *row, int64_t *out)
{
	int64_t max = row->max ? row->max : INT_MAX_WIRE;
	int64_t min = row->min || row->type == ARG_UINT ? row->min : -INT_MAX_WIRE;

	if (!val_int(v, out))
		return bad(d, "parameter %s must be a whole number", row->name);
	if (*out < min || *out > max)
		return bad(d, "parameter %s must be from %lld to %lld", row->name, (long long)min,
			(long long)max);
	return 0;
}

static int take_choice(struct decoder *d, const struct val *v, const struct arg *row, unsigned *out)
{
	const char *text = "";
	size_t used;
	int err = take_str(d, v, row->name, &text);

	if (err)
		return err;
	for (*out = 0; row->choices[*out]; ++*out) {
		if (strcmp(row->choices[*out], text) == 0)
			return 0;
	}
	used = (size_t)snprintf(d->why, d->why_len, "parameter %s must be one of", row->name);
	for (size_t i = 0; row->choices[i] && used < d->why_len; i++)
		used += (size_t)snprintf(
			d->why + used, d->why_len - used, "%s %s", i ? "," : "", row->choices[i]);
	return ERR_BAD_PARAMS;
}

static int take_strs(
	struct decoder *d, const struct val *v, const struct arg *row, struct strs *out)
{
	size_t n = val_count(v);

	if (val_type(v) != VAL_ARRAY)
		return bad(d, "parameter %s must be an array of texts", row->name);
	out->at = arena_alloc(d->arena, (n + 1) * sizeof(*out->at));
	if (!out->at)
		return out_of_arena(d);
	for (out->n = 0; out->n < n; out->n++) {
		int err = take_str(d, val_at(v, out->n), row->name, &out->at[out->n]);

		if (err)
			return err;
	}
	return 0;
}

static int take_vars(
	struct decoder *d, const struct val *v, const struct arg *row, struct vars *out)
{
	size_t n = val_count(v);

	if (val_type(v) != VAL_MAP)
		return bad(d, "parameter %s must be a map of texts", row->name);
	out->at = arena_alloc(d->arena, MAX(n, 1) * sizeof(*out->at));
	if (!out->at)
		return out_of_arena(d);
	for (out->n = 0; out->n < n; out->n++) {
		struct var *var = &out->at[out->n];
		const struct val *value = val_value(v, out->n);
		int err = take_str(d, val_key(v, out->n), row->name, &var->name);

		if (!err && val_type(value) != VAL_NIL)
			err = take_str(d, value, row->name, &var->value);
		if (err)
			return err;
	}
	return 0;
}

static int take_pairs(
	struct decoder *d, const struct val *v, const struct arg *row, struct pairs *out)
{
	size_t n = val_count(v);

	if (val_type(v) != VAL_MAP)
		return bad(d, "parameter %s must be a map of number pairs", row->name);
	out->at = arena_alloc(d->arena, MAX(n, 1) * sizeof(*out->at));
	if (!out->at)
		return out_of_arena(d);
	for (out->n = 0; out->n < n; out->n++) {
		struct pair *pair = &out->at[out->n];
		const struct val *value = val_value(v, out->n);
		int err = take_str(d, val_key(v, out->n), row->name, &pair->name);

		if (err)
			return err;
		if (val_type(value) != VAL_ARRAY || val_count(value) != 2 ||
			!val_uint(val_at(value, 0), &pair->first) ||
			!val_uint(val_at(value, 1), &pair->second))
			return bad(d, "parameter %s.%s must be an array of two numbers", row->name,
				pair->name);
	}
	return 0;
}

static int decode_map(
	struct decoder *d, const struct arg *table, const struct val *map, void *args);

/* A map inside, into ARGS; WHERE is how to call it. */
static int take_map(struct decoder *d, const struct val *v, const struct arg *table, void *args,
	const char *where)
{
	char inner[160];
	struct decoder in = {.arena = d->arena, .why = inner, .why_len = sizeof(inner)};
	int err;

	if (val_type(v) != VAL_MAP)
		return bad(d, "parameter %s must be a map", where);
	err = decode_map(&in, table, v, args);
	if (err)
		snprintf(d->why, d->why_len, "in %s: %s", where, inner);
	return err;
}

static int take_items(
	struct decoder *d, const struct val *v, const struct arg *row, struct items *out)
{
	size_t n = val_count(v);
	char *at;

	if (val_type(v) != VAL_ARRAY)
		return bad(d, "parameter %s must be an array of maps", row->name);
	out->at = at = arena_alloc(d->arena, MAX(n, 1) * row->item_size);
	if (!at)
		return out_of_arena(d);
	for (out->n = 0; out->n < n; out->n++, at += row->item_size) {
		char where[64];
		int err;

		snprintf(where, sizeof(where), "%s[%zu]", row->name, out->n);
		err = take_map(d, val_at(v, out->n), row->part, at, where);
		if (err)
			return err;
	}
	return 0;
}

static int take(struct decoder *d, const struct val *v, const struct arg *row, void *args)
{
	void *field = (char *)args + row->offset;
	int err;

	switch (row->type) {
	case ARG_BOOL:
		if (!val_bool(v, field))
			return bad(d, "parameter %s must be true or false", row->name);
		return 0;
	case ARG_INT:
	case ARG_UINT: /* 2^53 at most: the same bits either way */
		return take_number(d, v, row, field);
	case ARG_STR:
		err = row->or_number && val_type(v) == VAL_INT ? take_digits(d, v, row, field)
							       : take_str(d, v, row->name, field);
		if (!err && row->check) {
			const char *want = row->check(*(const char **)field);

			if (want)
				err = bad(d, "parameter %s must be %s", row->name, want);
		}
		return err;
	case ARG_BYTES:
		return take_bytes(d, v, row, field);
	case ARG_STRS:
		return take_strs(d, v, row, field);
	case ARG_VARS:
		return take_vars(d, v, row, field);
	case ARG_PAIRS:
		return take_pairs(d, v, row, field);
	case ARG_CHOICE:
		return take_choice(d, v, row, field);
	case ARG_INNER:
		*(bool *)((char *)args + row->given) = true;
		return take_map(d, v, row->part, field, row->name);
	case ARG_ITEMS:
		return take_items(d, v, row, field);
	case ARG_PART:
		break;
	}
	ASSERT(!"an included table is walked, not decoded");
	return ERR_INTERNAL;
}

static const char *fill_defaults(const struct arg *table, const struct val *map, void *args);

static void set_default(const struct arg *row, void *args)
{
	void *field = (char *)args + row->offset;

	switch (row->type) {
	case ARG_BOOL:
		*(bool *)field = row->dflt != 0;
		break;
	case ARG_INT:
	case ARG_UINT:
		*(int64_t *)field = row->dflt;
		break;
	case ARG_STR:
		*(const char **)field = row->dflt_str;
		break;
	case ARG_CHOICE:
		*(unsigned *)field = (unsigned)row->dflt;
		break;
	case ARG_INNER: /* what is required there is so only where the map is given */
		fill_defaults(row->part, NULL, field);
		break;
	case ARG_BYTES:
	case ARG_STRS:
	case ARG_VARS:
	case ARG_PAIRS:
	case ARG_ITEMS:
	case ARG_PART:
		break; /* zeroed: left out */
	}
}

/* The row called NAME, and in *ARGS the struct that its offset counts from. */
static const struct arg *find_row(
	const struct arg *table, const char *name, size_t len, void **args)
{
	for (const struct arg *row = table; row->name; row++) {
		if (row->type == ARG_PART) {
			void *part = (char *)*args + row->offset;
			const struct arg *found = find_row(row->part, name, len, &part);

			if (found) {
				*args = part;
				return found;
			}
		} else if (strlen(row->name) == len && memcmp(row->name, name, len) == 0) {
			return row;
		}
	}
	return NULL;
}

/* Defaults for what MAP leaves out; the name of a required row that it leaves out, or NULL. */
static const char *fill_defaults(const struct arg *table, const struct val *map, void *args)
{
	for (const struct arg *row = table; row->name; row++) {
		const char *missing = NULL;

		if (row->type == ARG_PART)
			missing = fill_defaults(row->part, map, (char *)args + row->offset);
		else if (val_type(val_get(map, row->name)) != VAL_NIL)
			continue;
		else if (row->required)
			missing = row->name;
		else
			set_default(row, args);
		if (missing)
			return missing;
	}
	return NULL;
}

/* How often KEY stands in MAP before position I. */
static bool seen_before(const struct val *map, size_t i, const char *key, size_t len)
{
	while (i--) {
		const char *bytes;
		size_t n;

		if (val_bytes(val_key(map, i), &bytes, &n) && n == len &&
			memcmp(bytes, key, n) == 0)
			return true;
	}
	return false;
}

static int decode_map(struct decoder *d, const struct arg *table, const struct val *map, void *args)
{
	size_t n = val_type(map) == VAL_MAP ? val_count(map) : 0;
	const char *missing;

	for (size_t i = 0; i < n; i++) {
		const struct val *value = val_value(map, i);
		const struct arg *row;
		void *target = args;
		const char *key;
		size_t len;
		int err;

		if (!val_bytes(val_key(map, i), &key, &len))
			return bad(d, "the names of parameters must be text");
		row = find_row(table, key, len, &target);
		if (!row)
			return bad(d, "unknown parameter %.*s", (int)MIN(len, 64), key);
		if (seen_before(map, i, key, len))
			return bad(d, "parameter %s is given twice", row->name);
		if (val_type(value) == VAL_NIL)
			continue; /* nil = left out */
		err = take(d, value, row, target);
		if (err)
			return err;
	}
	missing = fill_defaults(table, map, args);
	return missing ? bad(d, "parameter %s is required", missing) : 0;
}

int args_decode(const struct arg *table, const struct span *params, void *args, struct arena *arena,
	char *why, size_t why_len)
{
	struct decoder d = {.arena = arena, .why = why, .why_len = why_len};
	const struct val *map;
	struct doc *doc;
	int err;

	if (params->elements > MAX_ELEMENTS) {
		snprintf(why, why_len, "more than max_elements (%u) values in the parameters",
			MAX_ELEMENTS);
		return ERR_LIMIT;
	}
	if (params->len == 1 && *params->bytes == NIL_BYTE)
		return decode_map(&d, table, NULL, args);
	doc = doc_parse(params->bytes, params->len);
	if (!doc) {
		snprintf(why, why_len, "out of memory for the parameters");
		return -ENOMEM;
	}
	map = doc_root(doc);
	if (val_type(map) == VAL_ARRAY && val_count(map) == 1)
		map = val_at(map, 0);
	if (val_type(map) == VAL_MAP || val_type(map) == VAL_NIL)
		err = decode_map(&d, table, map, args);
	else
		err = bad(&d, "params must be a map, nil, or an array of one map");
	doc_free(doc);
	return err;
}

void args_each(const struct arg *table, void (*fn)(const struct arg *row, void *ctx), void *ctx)
{
	for (const struct arg *row = table; row->name; row++) {
		if (row->type == ARG_PART)
			args_each(row->part, fn, ctx);
		else
			fn(row, ctx);
	}
}

/* `{rows: uint, cols: uint}`, and for a list `[{path: str}]` */
static const char *inner_type_name(
	const char *open, const struct arg *table, const char *close, char text[ARG_TYPE_NAME_MAX])
{
	size_t used = (size_t)snprintf(text, ARG_TYPE_NAME_MAX, "%s", open);

	for (const struct arg *row = table; row->name; row++) {
		char inner[ARG_TYPE_NAME_MAX];

		used += (size_t)snprintf(text + used, ARG_TYPE_NAME_MAX - used, "%s%s: %s",
			row == table ? "" : ", ", row->name, arg_type_name(row, inner));
		ASSERT(used + strlen(close) < ARG_TYPE_NAME_MAX);
	}
	snprintf(text + used, ARG_TYPE_NAME_MAX - used, "%s", close);
	return text;
}

const char *arg_type_name(const struct arg *row, char text[ARG_TYPE_NAME_MAX])
{
	static const char *const names[] = {
		[ARG_BOOL] = "bool",
		[ARG_INT] = "int",
		[ARG_UINT] = "uint",
		[ARG_STR] = "str",
		[ARG_BYTES] = "bin",
		[ARG_STRS] = "[str]",
		[ARG_VARS] = "{str: str|nil}",
		[ARG_PAIRS] = "{str: [uint, uint]}",
		[ARG_CHOICE] = "str",
		[ARG_PART] = "",
		[ARG_INNER] = "",
		[ARG_ITEMS] = "",
	};

	if (row->type == ARG_INNER)
		return inner_type_name("{", row->part, "}", text);
	if (row->type == ARG_ITEMS)
		return inner_type_name("[{", row->part, "}]", text);
	return names[row->type];
}
