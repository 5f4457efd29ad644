/*
 * tests/unit/test_scan.c - proto/scan: every format, every cut, and agreement with msgpack-c
 *
 * What passes the scan goes to msgpack-c unchecked, so it must be neither wrong nor dear.
 */
#include "proto/scan.h"

#include <stdlib.h>

#include "proto/err.h"
#include "proto/limits.h"
#include "proto/val.h"
#include "tests/unit/msgpack_gen.h"
#include "tests/unit/unit.h"

/* In a block of just that size, so that a sanitizer sees a read behind it. */
static int scan_copy(const void *bytes, size_t len)
{
	char *copy = malloc(len + !len);
	struct scan s;
	int err;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	err = scan_message(copy, len, &s);
	if (err) {
		assert_int_equal(err, ERR_PROTOCOL);
		assert_non_null(s.why);
	}
	free(copy);
	return err;
}

/* The specification's table of formats: first bytes, and what stands behind them. */
static const struct format {
	unsigned char from, to;
	unsigned char width; /* bytes of a number N; 0: N is the first byte less FROM */
	enum {
		PAYLOAD, /* .payload bytes */
		BYTES,   /* N bytes */
		EXT,     /* N bytes and one */
		ARRAY,   /* N values */
		MAP,     /* twice N values */
	} kind;
	unsigned char payload;
} formats[] = {
	/* clang-format off */
	{0x00, 0x7f, 0, PAYLOAD, 0}, /* positive fixint */
	{0x80, 0x8f, 0, MAP, 0},
	{0x90, 0x9f, 0, ARRAY, 0},
	{0xa0, 0xbf, 0, BYTES, 0}, /* fixstr */
	{0xc0, 0xc0, 0, PAYLOAD, 0}, /* nil; 0xc1 is never used */
	{0xc2, 0xc3, 0, PAYLOAD, 0}, /* false, true */
	{0xc4, 0xc4, 1, BYTES, 0}, /* bin 8, 16, 32 */
	{0xc5, 0xc5, 2, BYTES, 0},
	{0xc6, 0xc6, 4, BYTES, 0},
	{0xc7, 0xc7, 1, EXT, 0},
	{0xc8, 0xc8, 2, EXT, 0},
	{0xc9, 0xc9, 4, EXT, 0},
	{0xca, 0xca, 0, PAYLOAD, 4}, /* float 32, 64 */
	{0xcb, 0xcb, 0, PAYLOAD, 8},
	{0xcc, 0xcc, 0, PAYLOAD, 1}, /* uint 8 to 64 */
	{0xcd, 0xcd, 0, PAYLOAD, 2},
	{0xce, 0xce, 0, PAYLOAD, 4},
	{0xcf, 0xcf, 0, PAYLOAD, 8},
	{0xd0, 0xd0, 0, PAYLOAD, 1}, /* int 8 to 64 */
	{0xd1, 0xd1, 0, PAYLOAD, 2},
	{0xd2, 0xd2, 0, PAYLOAD, 4},
	{0xd3, 0xd3, 0, PAYLOAD, 8},
	{0xd4, 0xd4, 0, PAYLOAD, 2}, /* fixext 1 to 16: a type and the bytes */
	{0xd5, 0xd5, 0, PAYLOAD, 3},
	{0xd6, 0xd6, 0, PAYLOAD, 5},
	{0xd7, 0xd7, 0, PAYLOAD, 9},
	{0xd8, 0xd8, 0, PAYLOAD, 17},
	{0xd9, 0xd9, 1, BYTES, 0}, /* str 8, 16, 32 */
	{0xda, 0xda, 2, BYTES, 0},
	{0xdb, 0xdb, 4, BYTES, 0},
	{0xdc, 0xdc, 2, ARRAY, 0},
	{0xdd, 0xdd, 4, ARRAY, 0},
	{0xde, 0xde, 2, MAP, 0},
	{0xdf, 0xdf, 4, MAP, 0},
	{0xe0, 0xff, 0, PAYLOAD, 0}, /* negative fixint */
	/* clang-format on */
};

static const struct format *format_of(unsigned char b)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		if (b >= formats[i].from && b <= formats[i].to)
			return &formats[i];
	}
	return NULL;
}

/* A second reading of the specification: the value's end, or NULL.  COUNT values were in it. */
static const unsigned char *reference(
	const unsigned char *p, const unsigned char *end, unsigned depth, size_t *count)
{
	const struct format *f = p < end ? format_of(*p) : NULL;
	uint64_t n, payload;

	if (!f || end - p < 1 + f->width)
		return NULL;
	++*count;
	n = f->width ? 0 : *p - f->from;
	p++;
	for (unsigned i = 0; i < f->width; i++)
		n = n * 256 + *p++;
	if (f->kind == ARRAY || f->kind == MAP) {
		if (depth > 16)
			return NULL;
		for (n *= f->kind == MAP ? 2 : 1; n && p; n--)
			p = reference(p, end, depth + 1, count);
		return p;
	}
	payload = f->kind == PAYLOAD ? f->payload : n + (f->kind == EXT);
	return payload <= (uint64_t)(end - p) ? p + payload : NULL;
}

static bool reference_message(const unsigned char *bytes, size_t len, size_t *count)
{
	*count = 0;
	return len && ((*bytes >= 0x90 && *bytes <= 0x9f) || *bytes == 0xdc || *bytes == 0xdd) &&
	       reference(bytes, bytes + len, 1, count) == bytes + len;
}

/* Writes a value that begins with the byte B; how long it is. */
static size_t sample(unsigned char b, unsigned char *out)
{
	const struct format *f = format_of(b);
	struct gen g = {.cap = 64};
	unsigned n = 3;

	g.bytes = out;
	gen_byte(&g, b);
	if (!f)
		return g.len;
	if (f->width)
		gen_be(&g, n, f->width);
	else
		n = b - f->from;
	if (f->kind == PAYLOAD)
		n = f->payload;
	else if (f->kind == EXT)
		n++;
	else if (f->kind == MAP)
		n *= 2;
	/* Inside bytes anything will do; a value is nil. */
	while (n--)
		gen_byte(&g, f->kind == ARRAY || f->kind == MAP ? 0xc0 : 0xc1);
	return g.len;
}

static void test_every_format(void **state)
{
	(void)state;
	for (unsigned b = 0; b <= 0xff; b++) {
		unsigned char m[80] = {0x92};
		size_t n = sample((unsigned char)b, m + 1), len;
		struct scan s;

		m[1 + n] = 0x07;
		len = n + 2;
		if (b == 0xc1) {
			assert_int_equal(scan_copy(m, len), ERR_PROTOCOL);
			continue;
		}
		if (scan_message((char *)m, len, &s))
			fail_msg("0x%02x: %s", b, s.why);
		assert_int_equal(s.n_parts, 2);
		assert_ptr_equal(s.part[0].bytes, m + 1);
		assert_int_equal(s.part[0].len, n);
		assert_ptr_equal(s.part[1].bytes, m + 1 + n);
		assert_int_equal(s.part[1].len, 1);
		assert_int_equal(s.part[1].elements, 1);
		for (size_t cut = 0; cut < len; cut++) {
			if (scan_copy(m, cut) == 0)
				fail_msg("0x%02x: %zu of %zu bytes pass", b, cut, len);
		}
		m[len] = 0xc0;
		assert_int_equal(scan_copy(m, len + 1), ERR_PROTOCOL);
	}
}

static void test_outermost(void **state)
{
	(void)state;
	assert_int_equal(scan_copy("", 0), ERR_PROTOCOL);
	for (unsigned b = 0; b <= 0xff; b++) {
		unsigned char m[80];
		size_t n = sample((unsigned char)b, m);
		bool array = (b >= 0x90 && b <= 0x9f) || b == 0xdc || b == 0xdd;

		assert_int_equal(scan_copy(m, n), array ? 0 : ERR_PROTOCOL);
	}
}

/* DEPTH arrays or maps in one another, the innermost with a nil in it or empty. */
static void nested(size_t depth, bool maps, bool empty, int want)
{
	unsigned char m[64] = {0x91};
	size_t len = 1;

	for (size_t i = 1; i < depth; i++) {
		bool last = i + 1 == depth && empty;

		assert_in_range(len, 1, sizeof(m) - 3);
		m[len++] = (unsigned char)((maps ? 0x81 : 0x91) - last);
		if (maps && !last)
			m[len++] = 0xc0;
	}
	if (!empty)
		m[len++] = 0xc0;
	assert_int_equal(scan_copy(m, len), want);
}

static void test_depth(void **state)
{
	(void)state;
	for (size_t depth = 2; depth <= 30; depth++) {
		int want = depth <= MAX_DEPTH ? 0 : ERR_PROTOCOL;

		nested(depth, false, false, want);
		nested(depth, false, true, want);
		nested(depth, true, false, want);
		nested(depth, true, true, want);
	}
}

/* Closing many levels at once, then going on in the outermost array. */
static void test_depth_returns(void **state)
{
	static const char m[] = "\x95\x91\x91\x91\x91\xc0\x92\x91\x90\x81\xc0\x80\x01\x91\x90\x02";
	struct scan s;

	(void)state;
	assert_int_equal(scan_message(LIT(m), &s), 0);
	assert_int_equal(s.n_parts, 5);
	assert_int_equal(s.part[0].len, 5);
	assert_int_equal(s.part[0].elements, 5);
	assert_int_equal(s.part[1].len, 6);
	assert_int_equal(s.part[1].elements, 6);
	assert_int_equal(s.part[2].len, 1);
	assert_int_equal(s.part[3].len, 2);
	assert_int_equal(s.part[3].elements, 2);
}

/* Five bytes that ask for gigabytes, outermost and inside. */
static void test_hostile_counts(void **state)
{
	static const char *const hostile[] = {
		"\xdd\xff\xff\xff\xff", /* array */
		"\xdf\xff\xff\xff\xff", /* map */
		"\xdf\x80\x00\x00\x00", /* a map whose number of values is 2^32 */
		"\xdf\x7f\xff\xff\xff", /* the most that stays below */
		"\xdb\xff\xff\xff\xff", /* str */
		"\xc6\xff\xff\xff\xff", /* bin */
		"\xc9\xff\xff\xff\xff", /* ext: with its type 2^32 bytes */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
		char m[40] = {(char)0x91};

		assert_int_equal(scan_copy(hostile[i], 5), ERR_PROTOCOL);
		memcpy(m + 1, hostile[i], 5);
		assert_int_equal(scan_copy(m, 6), ERR_PROTOCOL);
		assert_int_equal(scan_copy(m, sizeof(m)), ERR_PROTOCOL);
	}
	/* One more than there is. */
	assert_int_equal(scan_copy(LIT("\xdc\x00\x03\x01\x02")), ERR_PROTOCOL);
	assert_int_equal(scan_copy(LIT("\xdc\x00\x02\x01\x02")), 0);
	assert_int_equal(scan_copy(LIT("\x91\xde\x00\x01\xc0")), ERR_PROTOCOL);
	assert_int_equal(scan_copy(LIT("\x91\xde\x00\x01\xc0\xc0")), 0);
}

static void test_parts(void **state)
{
	/* [0, 7, "fs.stat", {"path": "/"}, and two more than are told] */
	static const char m[] = "\x96\x00\x07\xa7"
				"fs.stat\x81\xa4path\xa1/\x90\x92\x01\x02";
	struct scan s;

	(void)state;
	assert_int_equal(scan_message(LIT(m), &s), 0);
	assert_int_equal(s.n_parts, 6);
	assert_int_equal(s.part[0].len, 1);
	assert_int_equal(s.part[0].elements, 1);
	assert_int_equal(s.part[2].len, 8);
	assert_memory_equal(s.part[2].bytes,
		"\xa7"
		"fs.stat",
		8);
	assert_int_equal(s.part[3].len, 8);
	assert_memory_equal(s.part[3].bytes, "\x81\xa4path\xa1/", 8);
	assert_int_equal(s.part[3].elements, 3); /* the map, a key, a value */

	assert_int_equal(scan_message(LIT("\x90"), &s), 0);
	assert_int_equal(s.n_parts, 0);
	assert_int_equal(scan_message(LIT("\x91\xc0"), &s), 0);
	assert_int_equal(s.n_parts, 1);
	assert_int_equal(s.part[1].len, 0);
	assert_null(s.part[1].bytes);
}

static struct span span_of(const char *bytes, size_t len)
{
	return (struct span){.bytes = bytes, .len = len, .elements = 1};
}

static void test_span_uint(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool ok;
		uint64_t want;
	} cases[] = {
		{LIT("\x00"), true, 0},
		{LIT("\x7f"), true, 127},
		{LIT("\xcc\xff"), true, 255},
		{LIT("\xcd\xff\xfe"), true, 0xfffe},
		{LIT("\xce\x80\x00\x00\x01"), true, 0x80000001},
		{LIT("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), true, UINT64_MAX},
		{LIT("\xd0\x7f"), true, 127},
		{LIT("\xd0\x80"), false, 0},
		{LIT("\xd1\x01\x00"), true, 256},
		{LIT("\xd2\x00\x00\x00\x00"), true, 0},
		{LIT("\xd3\x7f\xff\xff\xff\xff\xff\xff\xff"), true, INT64_MAX},
		{LIT("\xd3\xff\xff\xff\xff\xff\xff\xff\xff"), false, 0},
		{LIT("\xff"), false, 0},
		{LIT("\xc0"), false, 0},
		{LIT("\xc3"), false, 0},
		{LIT("\xa1\x01"), false, 0},
		{LIT("\xc4\x01\x01"), false, 0},
		{LIT("\x91\x01"), false, 0},
		{LIT("\x80"), false, 0},
		{LIT("\xca\x3f\x80\x00\x00"), false, 0},
		{LIT(""), false, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct span span = span_of(cases[i].bytes, cases[i].len);
		uint64_t v = 0;

		assert_int_equal(span_uint(&span, &v), cases[i].ok);
		if (cases[i].ok)
			assert_int_equal(v, cases[i].want);
	}
}

static void test_span_bytes(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *want;
		size_t want_len;
	} cases[] = {
		{LIT("\xa0"), "", 0},
		{LIT("\xa2"
		     "ab"),
			"ab", 2},
		{LIT("\xd9\x02"
		     "ab"),
			"ab", 2},
		{LIT("\xda\x00\x02"
		     "ab"),
			"ab", 2},
		{LIT("\xdb\x00\x00\x00\x02"
		     "ab"),
			"ab", 2},
		{LIT("\xc4\x00"), "", 0},
		{LIT("\xc4\x02"
		     "ab"),
			"ab", 2},
		{LIT("\xc5\x00\x02"
		     "ab"),
			"ab", 2},
		{LIT("\xc6\x00\x00\x00\x02"
		     "ab"),
			"ab", 2},
		{LIT("\xc7\x02\x01"
		     "ab"),
			NULL, 0},
		{LIT("\xd4\x01"
		     "a"),
			NULL, 0},
		{LIT("\x92\x01\x02"), NULL, 0},
		{LIT("\xc0"), NULL, 0},
		{LIT("\x05"), NULL, 0},
		{LIT("\xdc\x00\x00"), NULL, 0},
		{LIT(""), NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct span span = span_of(cases[i].bytes, cases[i].len);
		const char *bytes = NULL;
		size_t len = 0;

		assert_int_equal(span_bytes(&span, &bytes, &len), cases[i].want != NULL);
		if (!cases[i].want)
			continue;
		assert_int_equal(len, cases[i].want_len);
		assert_memory_equal(bytes, cases[i].want, len);
	}
}

/* Values in V, itself included, walked the way msgpack-c decoded them. */
static size_t count_values(const struct val *v)
{
	size_t n = 1;

	for (size_t i = 0; i < val_count(v); i++) {
		if (val_type(v) == VAL_ARRAY)
			n += count_values(val_at(v, i));
		else
			n += count_values(val_key(v, i)) + count_values(val_value(v, i));
	}
	return n;
}

/* Both readings of M agree; and where it passes, msgpack-c takes every part of it. */
static bool agree(const unsigned char *m, size_t len)
{
	char *copy = malloc(len + !len);
	size_t want_count, count = 1, want_bytes = 0, parts;
	bool want = reference_message(m, len, &want_count);
	struct scan s;

	assert_non_null(copy);
	memcpy(copy, m, len);
	assert_int_equal(scan_message(copy, len, &s), want ? 0 : ERR_PROTOCOL);
	if (!want) {
		free(copy);
		return false;
	}
	parts = MIN(s.n_parts, MESSAGE_MAX_PARTS);
	for (size_t i = 0; i < parts; i++) {
		struct doc *doc = doc_parse(s.part[i].bytes, s.part[i].len);

		assert_non_null(doc);
		assert_int_equal(count_values(doc_root(doc)), s.part[i].elements);
		doc_free(doc);
		count += s.part[i].elements;
		want_bytes += s.part[i].len;
		if (i)
			assert_ptr_equal(s.part[i].bytes, s.part[i - 1].bytes + s.part[i - 1].len);
	}
	if (s.n_parts <= MESSAGE_MAX_PARTS) {
		size_t head = m[0] == 0xdd ? 5 : m[0] == 0xdc ? 3 : 1;

		assert_int_equal(head + want_bytes, len);
		assert_int_equal(count, want_count);
		if (parts)
			assert_ptr_equal(s.part[0].bytes, copy + head);
	} else {
		assert_in_range(count, parts + 1, want_count - 1);
	}
	free(copy);
	return true;
}

static void test_agreement(void **state)
{
	enum { MESSAGES = 20000, CAP = 4096 };
	unsigned char *bytes = malloc(CAP);
	struct gen g = {.bytes = bytes, .cap = CAP, .seed = 4};
	unsigned taken = 0, damaged = 0, refused = 0;

	(void)state;
	assert_non_null(bytes);
	for (int i = 0; i < MESSAGES; i++) {
		uint32_t n = rnd_below(&g.seed, 7);

		g.len = 0;
		gen_array(&g, n);
		while (n--) {
			/* A few go down to where the depth matters: 16 with the outermost. */
			for (uint32_t deep = rnd_below(&g.seed, 8) ? 0 : 10 + rnd_below(&g.seed, 7);
				deep; deep--)
				gen_array(&g, 1);
			gen_value(&g, 4);
		}
		taken += agree(bytes, g.len);
		gen_mutate(&g);
		if (agree(bytes, g.len))
			damaged++;
		else
			refused++;
	}
	/* The test would be worth little if all went one way. */
	assert_in_range(taken, MESSAGES / 2, MESSAGES);
	assert_in_range(damaged, MESSAGES / 20, MESSAGES);
	assert_in_range(refused, MESSAGES / 20, MESSAGES);
	free(bytes);
}

/* Bytes of no structure at all, all short ones of one kind among them. */
static void test_noise(void **state)
{
	unsigned char m[64];
	uint32_t seed = 5;

	(void)state;
	for (unsigned i = 0; i < 0x10000; i++) {
		m[0] = (unsigned char)(i >> 8);
		m[1] = (unsigned char)i;
		(void)agree(m, 2);
		m[0] = 0x91;
		m[1] = (unsigned char)(i >> 8);
		m[2] = (unsigned char)i;
		(void)agree(m, 3);
	}
	for (int i = 0; i < 20000; i++) {
		size_t len = rnd_below(&seed, sizeof(m) + 1);

		rnd_fill(&seed, m, len);
		if (len)
			m[0] = (unsigned char)(0x90 | (m[0] & 15));
		(void)agree(m, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_format),
		cmocka_unit_test(test_outermost),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_depth_returns),
		cmocka_unit_test(test_hostile_counts),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_span_uint),
		cmocka_unit_test(test_span_bytes),
		cmocka_unit_test(test_agreement),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
