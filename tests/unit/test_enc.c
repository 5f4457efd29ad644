/* tests/unit/test_enc.c - proto/enc: what is written reads back, and what does not fit leaves no trace */
#include "proto/enc.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/frame.h"
#include "proto/limits.h"
#include "proto/scan.h"
#include "proto/val.h"
#include "tests/unit/unit.h"

/* Ends the frame that E began in B, checks its length, and decodes its body. */
static struct doc *finish(struct enc *e, struct buf *b)
{
	char header[FRAME_HEADER];
	struct doc *doc;
	struct scan s;

	assert_int_equal(enc_frame_end(e, MAX_FRAME), 0);
	frame_header(header, (uint32_t)(buf_len(b) - FRAME_HEADER));
	assert_memory_equal(buf_bytes(b), header, FRAME_HEADER);
	assert_int_equal(
		scan_message(buf_bytes(b) + FRAME_HEADER, buf_len(b) - FRAME_HEADER, &s), 0);
	doc = doc_parse(buf_bytes(b) + FRAME_HEADER, buf_len(b) - FRAME_HEADER);
	assert_non_null(doc);
	return doc;
}

static void assert_text(const struct val *v, enum val_type type, const char *want, size_t want_len)
{
	const char *bytes;
	size_t len;

	assert_int_equal(val_type(v), type);
	assert_true(val_bytes(v, &bytes, &len));
	assert_int_equal(len, want_len);
	assert_memory_equal(bytes, want, len);
}

static void test_scalars(void **state)
{
	static const uint64_t uints[] = {0, 1, 127, 128, 255, 256, 65535, 65536, UINT32_MAX,
		(uint64_t)UINT32_MAX + 1, 1ULL << 53, UINT64_MAX};
	static const int64_t ints[] = {0, 1, 127, 128, -1, -32, -33, -128, -129, -32768, -32769,
		INT32_MIN, (int64_t)INT32_MIN - 1, INT64_MIN, INT64_MAX};
	const struct val *root;
	struct doc *doc;
	struct buf b;
	struct enc e;
	double d;
	bool v;

	(void)state;
	buf_init(&b, 10000);
	enc_frame_begin(&e, &b);
	enc_array(&e, 4 + ARRAY_LEN(uints) + ARRAY_LEN(ints));
	enc_nil(&e);
	enc_bool(&e, true);
	enc_bool(&e, false);
	enc_float(&e, 0.1);
	for (size_t i = 0; i < ARRAY_LEN(uints); i++)
		enc_uint(&e, uints[i]);
	for (size_t i = 0; i < ARRAY_LEN(ints); i++)
		enc_int(&e, ints[i]);
	doc = finish(&e, &b);
	root = doc_root(doc);
	assert_int_equal(val_type(val_at(root, 0)), VAL_NIL);
	assert_true(val_bool(val_at(root, 1), &v) && v);
	assert_true(val_bool(val_at(root, 2), &v) && !v);
	assert_true(val_float(val_at(root, 3), &d) && d == 0.1);
	for (size_t i = 0; i < ARRAY_LEN(uints); i++) {
		uint64_t u = ~uints[i];

		assert_true(val_uint(val_at(root, 4 + i), &u));
		assert_int_equal(u, uints[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(ints); i++) {
		int64_t n = ~ints[i];

		assert_true(val_int(val_at(root, 4 + ARRAY_LEN(uints) + i), &n));
		assert_int_equal(n, ints[i]);
	}
	doc_free(doc);
	buf_fini(&b);
}

/* Lengths on both sides of each width of the header. */
static void test_strings(void **state)
{
	static const size_t lens[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
	char *bytes = malloc(65537);
	const struct val *root;
	struct doc *doc;
	struct buf b;
	struct enc e;

	(void)state;
	assert_non_null(bytes);
	memset(bytes, 'x', 65536);
	buf_init(&b, 1 << 20);
	enc_frame_begin(&e, &b);
	enc_array(&e, 3 * ARRAY_LEN(lens));
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		bytes[lens[i]] = '\0';
		enc_str(&e, bytes);
		bytes[lens[i]] = 'x';
		enc_bin(&e, bytes, lens[i]);
		enc_bin_header(&e, lens[i]);
		assert_int_equal(buf_add(&b, bytes, lens[i]), 0);
	}
	doc = finish(&e, &b);
	root = doc_root(doc);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		assert_text(val_at(root, 3 * i), VAL_STR, bytes, lens[i]);
		assert_text(val_at(root, 3 * i + 1), VAL_BIN, bytes, lens[i]);
		assert_text(val_at(root, 3 * i + 2), VAL_BIN, bytes, lens[i]);
	}
	doc_free(doc);
	buf_fini(&b);
	free(bytes);
}

static void test_text(void **state)
{
	const struct val *root;
	struct doc *doc;
	struct buf b;
	struct enc e;

	(void)state;
	buf_init(&b, 1000);
	enc_frame_begin(&e, &b);
	enc_array(&e, 4);
	enc_text(&e, LIT("caf\xc3\xa9"));
	enc_text(&e, LIT("caf\xe9"));
	enc_text(&e, LIT(""));
	enc_text(&e, LIT("a\0b"));
	doc = finish(&e, &b);
	root = doc_root(doc);
	assert_text(val_at(root, 0), VAL_STR, LIT("caf\xc3\xa9"));
	assert_text(val_at(root, 1), VAL_BIN, LIT("caf\xe9"));
	assert_text(val_at(root, 2), VAL_STR, LIT(""));
	assert_text(val_at(root, 3), VAL_STR, LIT("a\0b"));
	doc_free(doc);
	buf_fini(&b);
}

static void test_begin_end(void **state)
{
	static const size_t counts[] = {0, 1, 15, 16, 300};
	const struct val *root;
	size_t outer, mark;
	struct doc *doc;
	struct buf b;
	struct enc e;
	int64_t n;

	(void)state;
	buf_init(&b, 100000);
	enc_frame_begin(&e, &b);
	outer = enc_array_begin(&e);
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		mark = enc_map_begin(&e);
		for (size_t k = 0; k < counts[i]; k++)
			enc_kv_uint(&e, "k", k);
		enc_map_end(&e, mark, counts[i]);
	}
	enc_array_end(&e, outer, ARRAY_LEN(counts));
	doc = finish(&e, &b);
	root = doc_root(doc);
	assert_int_equal(val_count(root), ARRAY_LEN(counts));
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		const struct val *map = val_at(root, i);

		assert_int_equal(val_type(map), VAL_MAP);
		assert_int_equal(val_count(map), counts[i]);
		for (size_t k = 0; k < counts[i]; k++) {
			assert_true(val_int(val_value(map, k), &n));
			assert_int_equal(n, k);
		}
	}
	doc_free(doc);
	buf_fini(&b);
}

static void test_begin_end_too_many(void **state)
{
	struct buf b;
	struct enc e;
	size_t mark;

	(void)state;
	buf_init(&b, 1 << 20);
	enc_frame_begin(&e, &b);
	mark = enc_array_begin(&e);
	for (size_t i = 0; i < 65536; i++)
		enc_nil(&e);
	enc_array_end(&e, mark, 65535);
	assert_false(e.failed);
	enc_array_end(&e, mark, 65536);
	assert_int_equal(enc_frame_end(&e, MAX_FRAME), -ENOBUFS);
	assert_int_equal(buf_len(&b), 0);
	buf_fini(&b);
}

static void test_kv(void **state)
{
	const struct val *root;
	struct doc *doc;
	struct buf b;
	struct enc e;
	size_t mark;
	uint64_t u;
	int64_t n;
	bool v;

	(void)state;
	buf_init(&b, 1000);
	enc_frame_begin(&e, &b);
	enc_array(&e, 1);
	mark = enc_map_begin(&e);
	enc_kv_nil(&e, "nil");
	enc_kv_bool(&e, "bool", true);
	enc_kv_uint(&e, "uint", 7);
	enc_kv_int(&e, "int", -7);
	enc_kv_str(&e, "str", "s");
	enc_kv_text(&e, "text", "\xff");
	enc_kv_bin(&e, "bin", "\0", 1);
	enc_map_end(&e, mark, 7);
	doc = finish(&e, &b);
	root = val_at(doc_root(doc), 0);
	assert_int_equal(val_count(root), 7);
	assert_non_null(val_get(root, "nil"));
	assert_int_equal(val_type(val_get(root, "nil")), VAL_NIL);
	assert_true(val_bool(val_get(root, "bool"), &v) && v);
	assert_true(val_uint(val_get(root, "uint"), &u));
	assert_int_equal(u, 7);
	assert_true(val_int(val_get(root, "int"), &n));
	assert_int_equal(n, -7);
	assert_text(val_get(root, "str"), VAL_STR, "s", 1);
	assert_text(val_get(root, "text"), VAL_BIN, "\xff", 1);
	assert_text(val_get(root, "bin"), VAL_BIN, "\0", 1);
	doc_free(doc);
	buf_fini(&b);
}

/* Several frames behind one another, the earlier of them already on their way. */
static void test_frames_in_a_row(void **state)
{
	static const char want[] = "\0\0\0\2\x91\1\0\0\0\2\x91\2\0\0\0\2\x91\3";
	struct buf b;
	struct enc e;

	(void)state;
	buf_init(&b, 1000);
	for (unsigned i = 1; i <= 3; i++) {
		enc_frame_begin(&e, &b);
		enc_array(&e, 1);
		enc_uint(&e, i);
		assert_int_equal(enc_frame_end(&e, MAX_FRAME), 0);
		if (i == 1) {
			buf_consume(&b, 3);
			assert_int_equal(buf_len(&b), 3);
		}
	}
	assert_int_equal(buf_len(&b), sizeof(want) - 1 - 3);
	assert_memory_equal(buf_bytes(&b), want + 3, sizeof(want) - 1 - 3);
	buf_fini(&b);
}

static void test_too_long(void **state)
{
	static const char zeros[100];
	struct buf b;
	struct enc e;

	(void)state;
	buf_init(&b, 1000);
	assert_int_equal(buf_add(&b, "before", 6), 0);
	enc_frame_begin(&e, &b);
	enc_bin(&e, zeros, sizeof(zeros)); /* 2 + 100 */
	assert_int_equal(enc_frame_end(&e, 101), -EMSGSIZE);
	assert_int_equal(buf_len(&b), 6);
	assert_memory_equal(buf_bytes(&b), "before", 6);
	enc_frame_begin(&e, &b);
	enc_bin(&e, zeros, sizeof(zeros));
	assert_int_equal(enc_frame_end(&e, 102), 0);
	assert_int_equal(buf_len(&b), 6 + 4 + 102);
	buf_fini(&b);
}

/* Whatever the room, a frame is whole or not there; what stood before stays. */
static void test_overflow_restores(void **state)
{
	int fitted = 0;

	(void)state;
	for (size_t room = 0; room < 60; room++) {
		size_t outer, inner;
		struct buf b;
		struct enc e;
		int err;

		buf_init(&b, 10 + room);
		assert_int_equal(buf_add(&b, "0123456789", 10), 0);
		buf_consume(&b, 4); /* so that the buf has to move its bytes */
		assert_int_equal(buf_add(&b, "abcd", 4), 0);
		enc_frame_begin(&e, &b);
		outer = enc_array_begin(&e);
		inner = enc_map_begin(&e);
		enc_kv_text(&e, "key", "value");
		enc_kv_bin(&e, "bin", "\1\2\3", 3);
		enc_kv_uint(&e, "n", 1ULL << 40);
		enc_map_end(&e, inner, 3);
		enc_array_end(&e, outer, 1);
		err = enc_frame_end(&e, MAX_FRAME);
		assert_memory_equal(buf_bytes(&b), "456789abcd", 10);
		if (err) {
			assert_int_equal(err, -ENOBUFS);
			assert_int_equal(buf_len(&b), 10);
			assert_int_equal(fitted, 0);
		} else {
			struct scan s;

			fitted++;
			assert_int_equal(scan_message(buf_bytes(&b) + 14, buf_len(&b) - 14, &s), 0);
			assert_int_equal(s.part[0].elements, 7);
		}
		buf_fini(&b);
	}
	assert_in_range(fitted, 5, 40);
}

static void test_data_header(void **state)
{
	static const uint32_t ids[] = {0, 1, 127, 128, 65536, UINT32_MAX};
	static const uint32_t lens[] = {0, 1, 255, 256, 65535, MAX_DATA};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		for (size_t k = 0; k < ARRAY_LEN(lens); k++) {
			char *m = calloc(1, DATA_HEADER_MAX + lens[k]);
			char header[FRAME_HEADER];
			const char *bytes;
			struct scan s;
			uint64_t v;
			size_t n, len;

			assert_non_null(m);
			n = enc_data_header(m, ids[i], 2, lens[k]);
			assert_in_range(n, 1, DATA_HEADER_MAX);
			memset(m + n, 0xc1, lens[k]);
			len = n + lens[k] - FRAME_HEADER;
			frame_header(header, (uint32_t)len);
			assert_memory_equal(m, header, FRAME_HEADER);
			assert_int_equal(scan_message(m + FRAME_HEADER, len, &s), 0);
			assert_int_equal(s.n_parts, 4);
			assert_true(span_uint(&s.part[0], &v));
			assert_int_equal(v, MSG_DATA);
			assert_true(span_uint(&s.part[1], &v));
			assert_int_equal(v, ids[i]);
			assert_true(span_uint(&s.part[2], &v));
			assert_int_equal(v, 2);
			assert_true(span_bytes(&s.part[3], &bytes, &len));
			assert_int_equal(len, lens[k]);
			assert_ptr_equal(bytes, m + n);
			free(m);
		}
	}
}

/* The same values as msgpack-c's packer writes, read by msgpack-c's unpacker. */
static void test_data_header_equals_packer(void **state)
{
	char m[DATA_HEADER_MAX + 300] = {0};
	size_t n = enc_data_header(m, 70000, 1, 300);
	const struct val *ours, *theirs;
	struct doc *hand, *packed;
	struct buf b;
	struct enc e;

	(void)state;
	buf_init(&b, 1000);
	enc_frame_begin(&e, &b);
	enc_array(&e, 4);
	enc_uint(&e, MSG_DATA);
	enc_uint(&e, 70000);
	enc_uint(&e, 1);
	enc_bin(&e, m + n, 300);
	packed = finish(&e, &b);
	hand = doc_parse(m + FRAME_HEADER, n - FRAME_HEADER + 300);
	assert_non_null(hand);
	ours = doc_root(hand);
	theirs = doc_root(packed);
	assert_int_equal(val_count(ours), val_count(theirs));
	for (size_t i = 0; i < 3; i++) {
		int64_t a = -1, c = -2;

		assert_true(val_int(val_at(ours, i), &a) && val_int(val_at(theirs, i), &c));
		assert_int_equal(a, c);
	}
	assert_text(val_at(ours, 3), VAL_BIN, m + n, 300);
	assert_text(val_at(theirs, 3), VAL_BIN, m + n, 300);
	doc_free(hand);
	doc_free(packed);
	buf_fini(&b);
}

static void test_failure(void **state)
{
	const struct val *map;
	struct failure f;
	struct doc *doc;
	struct buf b;
	struct enc e;
	int64_t n;

	(void)state;
	buf_init(&b, 10000);
	enc_frame_begin(&e, &b);
	enc_array(&e, 2);
	(void)failure_set(&f, -ENOENT, "exec", "/\xff", "no such file");
	failure_encode(&f, &e);
	(void)failure_set(&f, ERR_LIMIT, NULL, NULL, "too much");
	failure_encode(&f, &e);
	doc = finish(&e, &b);
	map = val_at(doc_root(doc), 0);
	assert_int_equal(val_count(map), 5);
	assert_text(val_get(map, "code"), VAL_STR, LIT("ENOENT"));
	assert_text(val_get(map, "message"), VAL_STR, LIT("no such file"));
	assert_true(val_int(val_get(map, "errno"), &n));
	assert_int_equal(n, ENOENT);
	assert_text(val_get(map, "path"), VAL_BIN, LIT("/\xff"));
	assert_text(val_get(map, "stage"), VAL_STR, LIT("exec"));
	map = val_at(doc_root(doc), 1);
	assert_int_equal(val_count(map), 2);
	assert_text(val_get(map, "code"), VAL_STR, LIT("limit"));
	assert_text(val_get(map, "message"), VAL_STR, LIT("too much"));
	doc_free(doc);
	buf_fini(&b);
}

/* Vectors of RFC 3629 and of Unicode's table 3-7, with what lies beside each border. */
static void test_utf8(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool want;
	} cases[] = {
		{LIT(""), true},
		{LIT("ascii \x7f"), true},
		{LIT("\0"), true},
		{LIT("\xc2\x80"), true},     /* U+0080 */
		{LIT("\xdf\xbf"), true},     /* U+07FF */
		{LIT("\xe0\xa0\x80"), true}, /* U+0800 */
		{LIT("\xe2\x82\xac"), true},
		{LIT("\xed\x9f\xbf"), true},     /* U+D7FF */
		{LIT("\xee\x80\x80"), true},     /* U+E000 */
		{LIT("\xef\xbf\xbf"), true},     /* U+FFFF */
		{LIT("\xf0\x90\x80\x80"), true}, /* U+10000 */
		{LIT("\xf4\x8f\xbf\xbf"), true}, /* U+10FFFF */
		{LIT("\xf0\x9f\x98\x80 \xc3\xa9"), true},
		/* Continuation bytes alone, and none where one must be. */
		{LIT("\x80"), false},
		{LIT("\xbf"), false},
		{LIT("a\x80"), false},
		{LIT("\xc3"), false},
		{LIT("\xc3z"), false},
		{LIT("\xe2\x82"), false},
		{LIT("\xe2\x82z"), false},
		{LIT("\xe2z\xac"), false},
		{LIT("\xf0\x9f\x98"), false},
		{LIT("\xf0\x9f\x98z"), false},
		{LIT("\xc3\xa9\xa9"), false},
		{LIT("\xe2\xc3\xa9"), false},
		/* Overlong forms. */
		{LIT("\xc0\x80"), false},
		{LIT("\xc0\xaf"), false},
		{LIT("\xc1\xbf"), false},
		{LIT("\xe0\x80\xaf"), false},
		{LIT("\xe0\x9f\xbf"), false},
		{LIT("\xf0\x80\x80\xaf"), false},
		{LIT("\xf0\x8f\xbf\xbf"), false},
		/* Surrogates. */
		{LIT("\xed\xa0\x80"), false},
		{LIT("\xed\xbf\xbf"), false},
		{LIT("\xed\xa0\xbd\xed\xb8\x80"), false},
		/* Above U+10FFFF, and bytes that never occur. */
		{LIT("\xf4\x90\x80\x80"), false},
		{LIT("\xf5\x80\x80\x80"), false},
		{LIT("\xf8\x88\x80\x80\x80"), false},
		{LIT("\xfe"), false},
		{LIT("\xff"), false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		/* In a block of just that size, so that a sanitizer sees a read behind it. */
		char *copy = malloc(cases[i].len + !cases[i].len);

		assert_non_null(copy);
		memcpy(copy, cases[i].bytes, cases[i].len);
		if (utf8_valid(copy, cases[i].len) != cases[i].want)
			fail_msg("case %zu: \\x%02x…", i, (unsigned char)cases[i].bytes[0]);
		free(copy);
	}
}

/* Every code point that exists is accepted in its one form; the same in a longer form is not. */
static void test_utf8_all(void **state)
{
	(void)state;
	for (uint32_t c = 0; c <= 0x110fff; c++) {
		bool want = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
		unsigned char m[4];
		size_t n = 1;

		if (c < 0x80) {
			m[0] = (unsigned char)c;
		} else if (c < 0x800) {
			n = 2;
			m[0] = (unsigned char)(0xc0 | c >> 6);
		} else if (c < 0x10000) {
			n = 3;
			m[0] = (unsigned char)(0xe0 | c >> 12);
		} else {
			n = 4;
			m[0] = (unsigned char)(0xf0 | c >> 18);
		}
		for (size_t i = 1; i < n; i++)
			m[i] = (unsigned char)(0x80 | (c >> 6 * (n - 1 - i) & 0x3f));
		if (utf8_valid(m, n) != want)
			fail_msg("U+%04X", c);
		if (c < 0x10000) {
			m[0] = 0xf0;
			m[1] = (unsigned char)(0x80 | c >> 12);
			m[2] = (unsigned char)(0x80 | (c >> 6 & 0x3f));
			m[3] = (unsigned char)(0x80 | (c & 0x3f));
			if (utf8_valid(m, 4))
				fail_msg("U+%04X in four bytes", c);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scalars),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_begin_end),
		cmocka_unit_test(test_begin_end_too_many),
		cmocka_unit_test(test_kv),
		cmocka_unit_test(test_frames_in_a_row),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_overflow_restores),
		cmocka_unit_test(test_data_header),
		cmocka_unit_test(test_data_header_equals_packer),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_utf8_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
