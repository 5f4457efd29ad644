/* tests/unit/test_val.c - proto/val: typed reading of what msgpack-c decoded */
#include "proto/val.h"

#include "tests/unit/unit.h"

#define INT64_MIN_BYTES "\xd3\x80\x00\x00\x00\x00\x00\x00\x00"

static struct doc *parse(const char *bytes, size_t len)
{
	struct doc *doc = doc_parse(bytes, len);

	assert_non_null(doc);
	return doc;
}

static void test_types(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum val_type want;
	} cases[] = {
		{LIT("\xc0"), VAL_NIL},
		{LIT("\xc2"), VAL_BOOL},
		{LIT("\xc3"), VAL_BOOL},
		{LIT("\x00"), VAL_INT},
		{LIT("\xff"), VAL_INT},
		{LIT("\xcd\x01\x00"), VAL_INT},
		{LIT("\xd1\xff\x00"), VAL_INT},
		{LIT("\xca\x3f\x80\x00\x00"), VAL_FLOAT},
		{LIT("\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"), VAL_FLOAT},
		{LIT("\xa1x"), VAL_STR},
		{LIT("\xc4\x01x"), VAL_BIN},
		{LIT("\x90"), VAL_ARRAY},
		{LIT("\x81\xc0\xc0"), VAL_MAP},
		{LIT("\xd4\x01x"), VAL_EXT},
		{LIT("\xc7\x00\x01"), VAL_EXT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct doc *doc = parse(cases[i].bytes, cases[i].len);

		assert_int_equal(val_type(doc_root(doc)), cases[i].want);
		doc_free(doc);
	}
	assert_int_equal(val_type(NULL), VAL_NIL);
}

static void test_numbers(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool is_int, is_uint;
		int64_t want;
		uint64_t want_uint;
	} cases[] = {
		{LIT("\x00"), true, true, 0, 0},
		{LIT("\x7f"), true, true, 127, 127},
		{LIT("\xff"), true, false, -1, 0},
		{LIT("\xe0"), true, false, -32, 0},
		{LIT("\xd0\x05"), true, true, 5, 5}, /* a signed type that holds no sign */
		{LIT("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), true, true, INT64_MAX, INT64_MAX},
		{LIT("\xcf\x80\x00\x00\x00\x00\x00\x00\x00"), false, true, 0, 1ULL << 63},
		{LIT("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), false, true, 0, UINT64_MAX},
		{LIT(INT64_MIN_BYTES), true, false, INT64_MIN, 0},
		/* Floats: whole ones up to 2^53 either way. */
		{LIT("\xca\x3f\x80\x00\x00"), true, true, 1, 1},
		{LIT("\xca\x3f\xc0\x00\x00"), false, false, 0, 0},               /* 1.5 */
		{LIT("\xcb\x80\x00\x00\x00\x00\x00\x00\x00"), true, true, 0, 0}, /* -0.0 */
		{LIT("\xcb\xc0\x00\x00\x00\x00\x00\x00\x00"), true, false, -2, 0},
		{LIT("\xcb\x43\x40\x00\x00\x00\x00\x00\x00"), true, true, 1LL << 53, 1ULL << 53},
		{LIT("\xcb\xc3\x40\x00\x00\x00\x00\x00\x00"), true, false, -(1LL << 53), 0},
		{LIT("\xcb\x43\x40\x00\x00\x00\x00\x00\x01"), false, false, 0, 0}, /* 2^53 + 2 */
		{LIT("\xcb\x43\xe0\x00\x00\x00\x00\x00\x00"), false, false, 0, 0}, /* 2^63 */
		{LIT("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), false, false, 0, 0}, /* infinity */
		{LIT("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), false, false, 0, 0}, /* NaN */
		{LIT("\xcb\x7f\xef\xff\xff\xff\xff\xff\xff"), false, false, 0, 0}, /* the largest */
		{LIT("\xc0"), false, false, 0, 0},
		{LIT("\xc3"), false, false, 0, 0},
		{LIT("\xa1"
		     "1"),
			false, false, 0, 0},
		{LIT("\x91\x01"), false, false, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct doc *doc = parse(cases[i].bytes, cases[i].len);
		uint64_t u = 0;
		int64_t n = 0;

		assert_int_equal(val_int(doc_root(doc), &n), cases[i].is_int);
		assert_int_equal(val_uint(doc_root(doc), &u), cases[i].is_uint);
		if (cases[i].is_int)
			assert_int_equal(n, cases[i].want);
		if (cases[i].is_uint)
			assert_int_equal(u, cases[i].want_uint);
		doc_free(doc);
	}
}

static void test_bool_float_bytes(void **state)
{
	struct doc *doc = parse(LIT("\x97\xc3\xc2\xca\x3f\xc0\x00\x00\xa3"
				    "a\0b\xc4\x02\xff\x00\xa0\x01"));
	const struct val *root = doc_root(doc);
	const char *bytes;
	size_t len;
	double d;
	bool b;

	(void)state;
	assert_int_equal(val_count(root), 7);
	assert_true(val_bool(val_at(root, 0), &b));
	assert_true(b);
	assert_true(val_bool(val_at(root, 1), &b));
	assert_false(b);
	assert_false(val_bool(val_at(root, 6), &b)); /* 1 is not true */
	assert_true(val_float(val_at(root, 2), &d));
	assert_true(d == 1.5);
	assert_false(val_float(val_at(root, 6), &d));
	assert_true(val_bytes(val_at(root, 3), &bytes, &len));
	assert_int_equal(len, 3);
	assert_memory_equal(bytes, "a\0b", 3);
	assert_true(val_bytes(val_at(root, 4), &bytes, &len));
	assert_int_equal(len, 2);
	assert_memory_equal(bytes, "\xff\x00", 2);
	assert_true(val_bytes(val_at(root, 5), &bytes, &len));
	assert_int_equal(len, 0);
	assert_false(val_bytes(val_at(root, 6), &bytes, &len));
	doc_free(doc);
}

/* An absent value is nil, and nothing else. */
static void test_null(void **state)
{
	const char *bytes;
	uint64_t u;
	int64_t n;
	size_t len;
	double d;
	bool b;

	(void)state;
	assert_false(val_bool(NULL, &b));
	assert_false(val_int(NULL, &n));
	assert_false(val_uint(NULL, &u));
	assert_false(val_float(NULL, &d));
	assert_false(val_bytes(NULL, &bytes, &len));
	assert_int_equal(val_count(NULL), 0);
	assert_null(val_get(NULL, "key"));
	doc_free(NULL);
}

static void test_map(void **state)
{
	/* {"a": 1, bin "b": 2, 7: 3, "a": 4, "": 5, "key": nil} */
	struct doc *doc = parse(LIT("\x86\xa1"
				    "a\x01\xc4\x01"
				    "b\x02\x07\x03\xa1"
				    "a\x04\xa0\x05\xa3key\xc0"));
	const struct val *map = doc_root(doc);
	int64_t n;

	(void)state;
	assert_int_equal(val_count(map), 6);
	assert_true(val_int(val_get(map, "a"), &n));
	assert_int_equal(n, 1); /* the first */
	assert_true(val_int(val_get(map, "b"), &n));
	assert_int_equal(n, 2);
	assert_true(val_int(val_get(map, ""), &n));
	assert_int_equal(n, 5);
	assert_non_null(val_get(map, "key"));
	assert_int_equal(val_type(val_get(map, "key")), VAL_NIL);
	assert_null(val_get(map, "ke"));
	assert_null(val_get(map, "keys"));
	assert_null(val_get(map, "\x07"));
	assert_true(val_int(val_key(map, 2), &n));
	assert_int_equal(n, 7);
	assert_true(val_int(val_value(map, 3), &n));
	assert_int_equal(n, 4);
	assert_null(val_get(val_value(map, 3), "a")); /* no map */
	doc_free(doc);
}

static void test_array(void **state)
{
	struct doc *doc = parse(LIT("\x93\x01\x92\x02\x03\x90"));
	const struct val *root = doc_root(doc);
	int64_t n;

	(void)state;
	assert_int_equal(val_count(root), 3);
	assert_int_equal(val_count(val_at(root, 1)), 2);
	assert_true(val_int(val_at(val_at(root, 1), 1), &n));
	assert_int_equal(n, 3);
	assert_int_equal(val_count(val_at(root, 2)), 0);
	assert_null(val_get(root, "a"));
	doc_free(doc);
}

/* Strings are not copied: that is what makes a large parameter cheap. */
static void test_borrows(void **state)
{
	static const char bytes[] = "\xa3"
				    "abc";
	struct doc *doc = parse(LIT(bytes));
	const char *at;
	size_t len;

	(void)state;
	assert_true(val_bytes(doc_root(doc), &at, &len));
	assert_ptr_equal(at, bytes + 1);
	doc_free(doc);
}

static void test_no_single_value(void **state)
{
	(void)state;
	assert_null(doc_parse("", 0));
	assert_null(doc_parse(LIT("\xc1")));
	assert_null(doc_parse(LIT("\x92\x01")));
	assert_null(doc_parse(LIT("\x91\x01\x02")));
	assert_null(doc_parse(LIT("\xa5"
				  "abc")));
	assert_null(doc_parse(LIT("\x01\x02")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_bool_float_bytes),
		cmocka_unit_test(test_null),
		cmocka_unit_test(test_map),
		cmocka_unit_test(test_array),
		cmocka_unit_test(test_borrows),
		cmocka_unit_test(test_no_single_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
