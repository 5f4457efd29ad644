/* ctl/json.c - values as JSON lines, and JSON as values, with jansson */
#include "ctl/json.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "ctl/base64.h"
#include "proto/enc.h"

/* What jansson makes of valid input is NULL only when memory is out. */
static json_t *made(json_t *j)
{
	ASSERT(j != NULL);
	return j;
}

static void set(json_t *object, const char *key, json_t *value)
{
	ASSERT(json_object_set_new(object, key, value) == 0);
}

static json_t *base64(const char *bytes, size_t len)
{
	json_t *j = made(json_object());
	char *text = xmalloc(BASE64_LEN(len) + 1);

	base64_encode(bytes, len, text);
	set(j, "base64", made(json_stringn(text, BASE64_LEN(len))));
	free(text);
	return j;
}

static json_t *string(const char *bytes, size_t len)
{
	return utf8_valid(bytes, len) ? made(json_stringn(bytes, len)) : base64(bytes, len);
}

static json_t *to_json(const struct val *v, bool text);

static json_t *array(const struct val *v, bool text)
{
	json_t *j = made(json_array());

	for (size_t i = 0; i < val_count(v); i++)
		ASSERT(json_array_append_new(j, to_json(val_at(v, i), text)) == 0);
	return j;
}

/* A key has to be a string: one that is not UTF-8 shows as its base64. */
static void set_member(json_t *j, const struct val *key, json_t *value)
{
	const char *bytes = "";
	size_t len = 0;

	val_bytes(key, &bytes, &len);
	if (utf8_valid(bytes, len)) {
		ASSERT(json_object_setn_new(j, bytes, len, value) == 0);
		return;
	}
	json_t *name = base64(bytes, len);

	set(j, json_string_value(json_object_get(name, "base64")), value);
	json_decref(name);
}

static json_t *map(const struct val *v, bool text)
{
	json_t *j = made(json_object());

	for (size_t i = 0; i < val_count(v); i++)
		set_member(j, val_key(v, i), to_json(val_value(v, i), text));
	return j;
}

static json_t *number(const struct val *v)
{
	json_t *j = NULL;
	uint64_t u;
	int64_t i;
	double d;

	if (val_type(v) == VAL_FLOAT && val_float(v, &d))
		j = json_real(d); /* NULL for what JSON cannot say: NaN, infinity */
	else if (val_int(v, &i))
		j = json_integer(i);
	else if (val_uint(v, &u))
		j = json_real((double)u);
	return made(j ? j : json_null());
}

static json_t *to_json(const struct val *v, bool text)
{
	const char *bytes;
	size_t len;
	bool yes;

	switch (val_type(v)) {
	case VAL_BOOL:
		val_bool(v, &yes);
		return json_boolean(yes);
	case VAL_STR:
	case VAL_BIN:
		val_bytes(v, &bytes, &len);
		return text || val_type(v) == VAL_STR ? string(bytes, len) : base64(bytes, len);
	case VAL_ARRAY:
		return array(v, text);
	case VAL_MAP:
		return map(v, text);
	case VAL_INT:
	case VAL_FLOAT:
		return number(v);
	case VAL_NIL:
	case VAL_EXT:
	default:
		return json_null();
	}
}

/* Consumes J.  A failed write shows in ferror(F). */
static void put_line(FILE *f, json_t *j)
{
	/* JSON has U+0080 to U+009F as they are, which a terminal obeys. */
	size_t ascii = isatty(fileno(f)) ? JSON_ENSURE_ASCII : 0;

	json_dumpf(j, f, JSON_COMPACT | JSON_ENCODE_ANY | ascii);
	fputc('\n', f);
	fflush(f);
	json_decref(j);
}

void json_write(FILE *f, const struct val *v, bool text)
{
	put_line(f, to_json(v, text));
}

void json_write_data(FILE *f, unsigned channel, const char *bytes, size_t len, bool text)
{
	json_t *j = made(json_object());

	set(j, "channel", made(json_integer(channel)));
	set(j, "data", text ? string(bytes, len) : base64(bytes, len));
	put_line(f, j);
}

void json_write_error(FILE *f, const char *code, const char *message)
{
	json_t *j = made(json_object());

	set(j, "code", made(json_string(code)));
	set(j, "message", string(message, strlen(message)));
	put_line(f, j);
}

static bool encode(json_t *j, struct enc *e);

/* The text of {"base64": "…"}, or NULL where J is another object. */
static const json_t *base64_text(const json_t *j)
{
	const json_t *text = json_object_get(j, "base64");

	return json_object_size(j) == 1 && json_is_string(text) ? text : NULL;
}

static bool encode_bytes(const json_t *text, struct enc *e)
{
	size_t len = json_string_length(text);
	char *bytes = xmalloc(len + 1);
	ssize_t n = base64_decode(json_string_value(text), len, bytes);

	if (n >= 0)
		enc_bin(e, bytes, (size_t)n);
	free(bytes);
	return n >= 0;
}

static bool encode_object(json_t *j, struct enc *e)
{
	size_t mark = enc_map_begin(e);

	for (void *at = json_object_iter(j); at; at = json_object_iter_next(j, at)) {
		enc_text(e, json_object_iter_key(at), json_object_iter_key_len(at));
		if (!encode(json_object_iter_value(at), e))
			return false;
	}
	enc_map_end(e, mark, json_object_size(j));
	return true;
}

static bool encode_array(const json_t *j, struct enc *e)
{
	enc_array(e, json_array_size(j));
	for (size_t i = 0; i < json_array_size(j); i++) {
		if (!encode(json_array_get(j, i), e))
			return false;
	}
	return true;
}

/* False for bytes that are no base64. */
static bool encode(json_t *j, struct enc *e)
{
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		return base64_text(j) ? encode_bytes(base64_text(j), e) : encode_object(j, e);
	case JSON_ARRAY:
		return encode_array(j, e);
	case JSON_STRING:
		enc_text(e, json_string_value(j), json_string_length(j));
		break;
	case JSON_INTEGER:
		enc_int(e, json_integer_value(j));
		break;
	case JSON_REAL:
		enc_float(e, json_real_value(j));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		enc_bool(e, json_is_true(j));
		break;
	case JSON_NULL:
	default:
		enc_nil(e);
		break;
	}
	return true;
}

int json_read(const char *text, size_t len, struct buf *out, char *why, size_t why_len)
{
	struct enc e = {.buf = out};
	json_error_t error;
	json_t *j = json_loadb(
		text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
	bool ok;

	if (!j) {
		snprintf(why, why_len, "not JSON: %s (line %d, column %d)", error.text, error.line,
			error.column);
		return -EINVAL;
	}
	ok = encode(j, &e);
	json_decref(j);
	if (!ok) {
		snprintf(why, why_len, "not base64: the string in {\"base64\": …}");
		return -EINVAL;
	}
	return e.failed ? -ENOBUFS : 0;
}
