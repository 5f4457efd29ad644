/*
 * tests/unit/test_args.c - proto/args: what a method gets is what its table promised
 *
 * Parameters come from a peer.  Whatever they hold, the answer is a struct that was filled by the
 * rules, or a sentence; and the arena that args_size asks for is always enough.
 */
#include "proto/args.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/enc.h"
#include "proto/err.h"
#include "proto/frame.h"
#include "proto/limits.h"
#include "tests/unit/msgpack_gen.h"
#include "tests/unit/unit.h"

struct inner {
	const char *cwd;
	int64_t nice;
};

struct all {
	bool flag;
	int64_t n;
	uint64_t size;
	const char *path;
	struct bytes data;
	struct strs argv;
	struct vars env;
	struct pairs rlimits;
	unsigned color;
	struct inner inner;
	uint64_t port;
	int64_t level;
};

static const char *const colors[] = {"red", "green", "blue", NULL};

static const struct arg inner_table[] = {
	ARG(struct inner, cwd, .check = arg_abs_path, .dflt_str = "/"),
	ARG(struct inner, nice, .min = -20, .max = 19),
	ARG_END,
};

static const struct arg all_table[] = {
	ARG(struct all, flag, .dflt = true),
	ARG(struct all, n, .dflt = -7),
	ARG(struct all, size, .dflt = 7),
	ARG(struct all, path, .check = arg_abs_path),
	ARG(struct all, data),
	ARG(struct all, argv),
	ARG(struct all, env),
	ARG(struct all, rlimits),
	ARG(struct all, color, .choices = colors, .dflt = 1),
	ARG_INCLUDE(struct all, inner, inner_table),
	ARG(struct all, port, .min = 1, .max = 65535, .dflt = 80),
	ARG(struct all, level, .min = -3, .max = 3),
	ARG_END,
};

static const struct arg required_table[] = {
	ARG(struct all, path, .required = true),
	ARG(struct all, size, .required = true),
	ARG_END,
};

/* What a decode left behind; released by drop(). */
struct result {
	int err;
	struct all args;
	struct arena *arena;
	char why[200];
	char *bytes;
};

static struct span span_of(const char *bytes, size_t len)
{
	struct scan s;
	struct span span;
	char head = (char)0x91, *message = malloc(len + 1);

	assert_non_null(message);
	message[0] = head;
	memcpy(message + 1, bytes, len);
	assert_int_equal(scan_message(message, len + 1, &s), 0);
	span = (struct span){.bytes = bytes, .len = len, .elements = s.part[0].elements};
	free(message);
	return span;
}

/* Decodes a copy that is gone before anybody looks at the result: nothing may point into it. */
static void decode(struct result *r, const struct arg *table, const char *bytes, size_t len)
{
	char *copy = malloc(len);
	struct span span;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	span = span_of(copy, len);
	*r = (struct result){.arena = arena_new(args_size(&span))};
	assert_non_null(r->arena);
	r->err = args_decode(table, &span, &r->args, r->arena, r->why, sizeof(r->why));
	free(copy);
	if (r->err)
		assert_string_not_equal(r->why, "");
	else
		assert_string_equal(r->why, "");
}

static void drop(struct result *r)
{
	arena_free(r->arena);
}

static void expect_bad(
	const struct arg *table, const char *bytes, size_t len, const char *named_in_why)
{
	struct result r;

	decode(&r, table, bytes, len);
	if (r.err != ERR_BAD_PARAMS || !strstr(r.why, named_in_why))
		fail_msg("%d \"%s\", not about \"%s\"", r.err, r.why, named_in_why);
	drop(&r);
}

static void expect_ok(const struct arg *table, const char *bytes, size_t len)
{
	struct result r;

	decode(&r, table, bytes, len);
	if (r.err)
		fail_msg("%s", r.why);
	drop(&r);
}

static void assert_defaults(const struct all *a)
{
	assert_true(a->flag);
	assert_int_equal(a->n, -7);
	assert_int_equal(a->size, 7);
	assert_null(a->path);
	assert_null(a->data.at);
	assert_int_equal(a->data.len, 0);
	assert_null(a->argv.at);
	assert_int_equal(a->argv.n, 0);
	assert_null(a->env.at);
	assert_null(a->rlimits.at);
	assert_int_equal(a->color, 1);
	assert_string_equal(a->inner.cwd, "/");
	assert_int_equal(a->inner.nice, 0);
	assert_int_equal(a->port, 80);
	assert_int_equal(a->level, 0);
}

/* nil, {}, [{}] and [nil] are the same; so are a parameter that is nil and one left out. */
static void test_defaults(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{LIT("\xc0")},
		{LIT("\x80")},
		{LIT("\x91\x80")},
		{LIT("\x91\xc0")},
		{LIT("\xde\x00\x00")},
		{LIT("\x83\xa4"
		     "flag\xc0\xa4path\xc0\xa4"
		     "argv\xc0")},
		{LIT("\x82\xa5"
		     "color\xc0\xa3"
		     "cwd\xc0")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct result r;

		decode(&r, all_table, cases[i].bytes, cases[i].len);
		assert_int_equal(r.err, 0);
		assert_defaults(&r.args);
		drop(&r);
	}
}

/* One of each type, built with our own encoder; WRAP puts the map into an array of one. */
static size_t encode_all(struct buf *b, bool wrap)
{
	struct enc e;
	size_t map, inner;

	enc_frame_begin(&e, b);
	if (wrap)
		enc_array(&e, 1);
	map = enc_map_begin(&e);
	enc_kv_bool(&e, "flag", false);
	enc_kv_int(&e, "n", -123456789012);
	enc_kv_uint(&e, "size", 1ULL << 53);
	enc_kv_str(&e, "path", "/a/b");
	enc_kv_bin(&e, "data", "a\0b", 3);
	enc_str(&e, "argv");
	enc_array(&e, 3);
	enc_str(&e, "echo");
	enc_str(&e, "");
	enc_bin(&e, "\xff", 1);
	enc_str(&e, "env");
	inner = enc_map_begin(&e);
	enc_kv_str(&e, "HOME", "/root");
	enc_kv_nil(&e, "TERM");
	enc_map_end(&e, inner, 2);
	enc_str(&e, "rlimits");
	inner = enc_map_begin(&e);
	enc_str(&e, "nofile");
	enc_array(&e, 2);
	enc_uint(&e, 1024);
	enc_uint(&e, UINT64_MAX);
	enc_map_end(&e, inner, 1);
	enc_kv_str(&e, "color", "blue");
	enc_kv_str(&e, "cwd", "/tmp");
	enc_kv_int(&e, "nice", -20);
	enc_map_end(&e, map, 11);
	assert_int_equal(enc_frame_end(&e, MAX_FRAME), 0);
	return buf_len(b) - FRAME_HEADER;
}

static void assert_all(const struct all *a)
{
	assert_false(a->flag);
	assert_int_equal(a->n, -123456789012);
	assert_int_equal(a->size, 1ULL << 53);
	assert_string_equal(a->path, "/a/b");
	assert_int_equal(a->data.len, 3);
	assert_memory_equal(a->data.at, "a\0b", 4);
	assert_int_equal(a->argv.n, 3);
	assert_string_equal(a->argv.at[0], "echo");
	assert_string_equal(a->argv.at[1], "");
	assert_string_equal(a->argv.at[2], "\xff");
	assert_null(a->argv.at[3]);
	assert_int_equal(a->env.n, 2);
	assert_string_equal(a->env.at[0].name, "HOME");
	assert_string_equal(a->env.at[0].value, "/root");
	assert_string_equal(a->env.at[1].name, "TERM");
	assert_null(a->env.at[1].value);
	assert_int_equal(a->rlimits.n, 1);
	assert_string_equal(a->rlimits.at[0].name, "nofile");
	assert_int_equal(a->rlimits.at[0].first, 1024);
	assert_int_equal(a->rlimits.at[0].second, UINT64_MAX);
	assert_int_equal(a->color, 2);
	assert_string_equal(a->inner.cwd, "/tmp");
	assert_int_equal(a->inner.nice, -20);
	assert_int_equal(a->port, 80); /* left out */
}

static void test_all_types(void **state)
{
	(void)state;
	for (int wrap = 0; wrap < 2; wrap++) {
		struct result r;
		struct buf b;
		size_t len;

		buf_init(&b, 10000);
		len = encode_all(&b, wrap);
		decode(&r, all_table, buf_bytes(&b) + FRAME_HEADER, len);
		assert_int_equal(r.err, 0);
		assert_all(&r.args);
		drop(&r);
		buf_fini(&b);
	}
}

/* Some libraries pack all bytes as str, others all text as bin, and numbers as floats. */
static void test_other_libraries(void **state)
{
	struct result r;

	(void)state;
	decode(&r, all_table,
		LIT("\x84\xc4\x04path\xc4\x02/a\xa4"
		    "data\xa2hi\xa5"
		    "color\xc4\x03"
		    "red\xa4size\xcb\x40\x10\0\0\0\0\0\0"));
	assert_int_equal(r.err, 0);
	assert_string_equal(r.args.path, "/a");
	assert_int_equal(r.args.data.len, 2);
	assert_string_equal(r.args.data.at, "hi");
	assert_int_equal(r.args.color, 0);
	assert_int_equal(r.args.size, 4);
	drop(&r);
}

/* Present but empty differs from left out. */
static void test_empty_values(void **state)
{
	struct result r;

	(void)state;
	decode(&r, all_table,
		LIT("\x84\xa4"
		    "data\xc4\x00\xa4"
		    "argv\x90\xa3"
		    "env\x80\xa7rlimits\x80"));
	assert_int_equal(r.err, 0);
	assert_non_null(r.args.data.at);
	assert_int_equal(r.args.data.len, 0);
	assert_non_null(r.args.argv.at);
	assert_null(r.args.argv.at[0]);
	assert_non_null(r.args.env.at);
	assert_int_equal(r.args.env.n, 0);
	assert_non_null(r.args.rlimits.at);
	drop(&r);
}

static void test_required(void **state)
{
	struct result r;

	(void)state;
	expect_bad(required_table, LIT("\xc0"), "path");
	expect_bad(required_table, LIT("\x81\xa4path\xa1/"), "size");
	expect_bad(required_table, LIT("\x82\xa4path\xc0\xa4size\x01"), "path");
	decode(&r, required_table, LIT("\x82\xa4path\xa1/\xa4size\x01"));
	assert_int_equal(r.err, 0);
	assert_string_equal(r.args.path, "/");
	drop(&r);
}

static void test_unknown_and_twice(void **state)
{
	(void)state;
	expect_bad(all_table, LIT("\x81\xa4paht\xa1/"), "paht");
	expect_bad(all_table, LIT("\x81\xa5paths\xa1/"), "paths");
	expect_bad(all_table, LIT("\x81\xa3pat\xa1/"), "pat");
	expect_bad(all_table, LIT("\x81\xa4paht\xc0"), "paht"); /* nil does not hide it */
	expect_bad(all_table, LIT("\x81\xa0\xc0"), "unknown");
	expect_bad(all_table, LIT("\x81\xa5inner\x80"), "inner"); /* its rows, not its name */
	expect_bad(all_table, LIT("\x81\xa5path\0\xa1/"), "unknown");
	expect_bad(all_table, LIT("\x82\xa4path\xa1/\xa4path\xa1/"), "path");
	expect_bad(all_table, LIT("\x82\xa4path\xc0\xc4\x04path\xa1/"), "path");
	expect_bad(all_table,
		LIT("\x82\xa3"
		    "cwd\xa1/\xa3"
		    "cwd\xa1/"),
		"cwd");
	expect_bad(all_table, LIT("\x81\x01\xa1/"), "names of parameters");
	expect_bad(all_table, LIT("\x81\xc0\xa1/"), "names of parameters");
}

static void test_no_map(void **state)
{
	(void)state;
	expect_bad(all_table, LIT("\x90"), "params");
	expect_bad(all_table, LIT("\x92\x80\x80"), "params");
	expect_bad(all_table, LIT("\x91\x91\x80"), "params");
	expect_bad(all_table, LIT("\x91\x01"), "params");
	expect_bad(all_table, LIT("\x01"), "params");
	expect_bad(all_table, LIT("\xa4path"), "params");
	expect_bad(all_table, LIT("\xc2"), "params");
	expect_bad(all_table, LIT("\xd4\x01\x00"), "params");
}

static void test_wrong_types(void **state)
{
	/* Each name with values that it does not take. */
	static const struct {
		const char *name;
		const char *values[9];
	} cases[] = {
		{"flag", {"\x01", "\xa1t", "\x90", "\x80", "\xc4\x01t"}},
		{"n", {"\xc3", "\xa1\x31", "\x91\x01", "\x80", "\xca\x3f\xc0\x01\x01"}},
		{"size", {"\xc3", "\xa1\x31", "\x91\x01", "\xff", "\xd0\xff"}},
		{"path", {"\x01", "\xc3", "\x91\xa1/", "\x80", "\xd4\x01\x01"}},
		{"data", {"\x01", "\xc2", "\x90", "\x80", "\xd4\x01\x01"}},
		{"argv", {"\xa1x", "\x80", "\x91\x01", "\x91\xc0", "\x91\x90", "\x92\xa1x\xc3",
				 "\x01"}},
		{"env", {"\xa1x", "\x90", "\x81\x01\xa1x", "\x81\xa1x\x01", "\x81\xc0\xc0",
				"\x81\xa1x\x90"}},
		{"rlimits", {"\xa1x", "\x90", "\x81\xa1x\x01", "\x81\xa1x\x90", "\x81\xa1x\x91\x01",
				    "\x81\xa1x\x93\x01\x01\x01", "\x81\xa1x\x92\x01\xff",
				    "\x81\x01\x92\x01\x01", "\x81\xa1x\x92\xa1x\x01"}},
		{"color", {"\x01", "\xc3", "\xa4pink", "\xa0", "\xa2re", "\xa4redd", "\xa3Red"}},
		{"cwd", {"\x01", "\xa3tmp", "\xa0", "\xa2./"}},
		{"nice", {"\x14", "\xd0\xeb", "\x7f"}},
		{"port", {"\xff", "\xce\x01\x01\x01\x01", "\xce\x7f\xff\xff\xff"}},
		{"level", {"\x04", "\xfc"}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t name_len = strlen(cases[i].name);

		for (size_t k = 0; k < ARRAY_LEN(cases[i].values) && cases[i].values[k]; k++) {
			size_t len = strlen(cases[i].values[k]);
			char m[64] = {(char)0x81, (char)(0xa0 | name_len)};

			memcpy(m + 2, cases[i].name, name_len);
			memcpy(m + 2 + name_len, cases[i].values[k], len);
			expect_bad(all_table, m, 2 + name_len + len, cases[i].name);
		}
	}
}

static void test_ranges(void **state)
{
	(void)state;
	expect_ok(all_table, LIT("\x81\xa4nice\x13"));
	expect_ok(all_table, LIT("\x81\xa4nice\xec"));
	expect_ok(all_table, LIT("\x81\xa5level\x03"));
	expect_ok(all_table, LIT("\x81\xa5level\xfd"));
	expect_ok(all_table, LIT("\x81\xa4port\x01"));
	expect_ok(all_table, LIT("\x81\xa4port\xcd\xff\xff"));
	expect_bad(all_table, LIT("\x81\xa4port\x00"), "from 1 to 65535");
	expect_bad(all_table, LIT("\x81\xa4port\xce\x00\x01\x00\x00"), "from 1 to 65535");
	/* Without a range: 2^53 either way, a uint from 0. */
	expect_ok(all_table, LIT("\x81\xa4size\x00"));
	expect_ok(all_table, LIT("\x81\xa4size\xcf\x00\x20\x00\x00\x00\x00\x00\x00"));
	expect_bad(all_table, LIT("\x81\xa4size\xcf\x00\x20\x00\x00\x00\x00\x00\x01"), "size");
	expect_bad(all_table, LIT("\x81\xa4size\xff"), "from 0 to");
	expect_bad(all_table, LIT("\x81\xa4size\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "size");
	expect_ok(all_table, LIT("\x81\xa1n\xd3\xff\xe0\x00\x00\x00\x00\x00\x00"));
	expect_bad(
		all_table, LIT("\x81\xa1n\xd3\xff\xdf\xff\xff\xff\xff\xff\xff"), "n must be from");
	expect_bad(
		all_table, LIT("\x81\xa1n\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), "n must be from");
	expect_bad(all_table, LIT("\x81\xa1n\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), "whole number");
}

static void test_choices_are_told(void **state)
{
	struct result r;

	(void)state;
	decode(&r, all_table,
		LIT("\x81\xa5"
		    "color\xa4pink"));
	assert_int_equal(r.err, ERR_BAD_PARAMS);
	assert_string_equal(r.why, "parameter color must be one of red, green, blue");
	drop(&r);
}

static void test_nul(void **state)
{
	(void)state;
	expect_bad(all_table, LIT("\x81\xa4path\xa3/\0a"), "NUL");
	expect_bad(all_table, LIT("\x81\xa4path\xa2/\0"), "NUL");
	expect_bad(all_table, LIT("\x81\xa4path\xc4\x02/\0"), "NUL");
	expect_bad(all_table,
		LIT("\x81\xa4"
		    "argv\x92\xa1x\xa1\0"),
		"NUL");
	expect_bad(all_table,
		LIT("\x81\xa3"
		    "env\x81\xa1\0\xa1x"),
		"NUL");
	expect_bad(all_table,
		LIT("\x81\xa3"
		    "env\x81\xa1x\xa1\0"),
		"NUL");
	expect_bad(all_table, LIT("\x81\xa7rlimits\x81\xa1\0\x92\x01\x01"), "NUL");
	expect_bad(all_table,
		LIT("\x81\xa5"
		    "color\xa4"
		    "red\0"),
		"NUL");
	expect_ok(all_table, LIT("\x81\xa4"
				 "data\xa1\0"));
}

static void test_element_limit(void **state)
{
	size_t n = MAX_ELEMENTS - 3; /* beside the map, the name and the array itself */
	char *m = malloc(11 + n + 1);
	struct result r;

	(void)state;
	assert_non_null(m);
	memcpy(m, LIT("\x81\xa4"
		      "argv\xdd"));
	for (size_t more = 0; more < 2; more++) {
		size_t count = n + more;

		frame_header(m + 7, (uint32_t)count);
		memset(m + 11, 0xa0, count);
		decode(&r, all_table, m, 11 + count);
		if (more) {
			assert_int_equal(r.err, ERR_LIMIT);
			assert_non_null(strstr(r.why, "max_elements"));
		} else {
			assert_int_equal(r.err, 0);
			assert_int_equal(r.args.argv.n, count);
			assert_null(r.args.argv.at[count]);
		}
		drop(&r);
	}
	free(m);
}

/* With any smaller arena the answer is a limit or, where that was enough, the right one. */
static void test_arena_exhaustion(void **state)
{
	bool enough = false;
	struct span span;
	struct buf b;
	size_t len;

	(void)state;
	buf_init(&b, 10000);
	len = encode_all(&b, false);
	span = span_of(buf_bytes(&b) + FRAME_HEADER, len);
	for (size_t size = 0; size <= args_size(&span); size++) {
		struct arena *arena = arena_new(size);
		struct all args = {0};
		char why[100] = "";
		int err;

		assert_non_null(arena);
		err = args_decode(all_table, &span, &args, arena, why, sizeof(why));
		assert_in_range(arena->used, 0, size);
		if (err) {
			assert_int_equal(err, ERR_LIMIT);
			assert_non_null(strstr(why, "memory"));
			assert_false(enough);
		} else {
			enough = true;
			assert_all(&args);
		}
		arena_free(arena);
	}
	assert_true(enough);
	buf_fini(&b);
}

/* A short buffer for the sentence is filled, terminated and not overrun. */
static void test_short_why(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{LIT("\x81\xa4paht\xc0")},
		{LIT("\x81\xa5"
		     "color\xa4pink")},
		{LIT("\x81\xa4port\x00")},
		{LIT("\x81\xa7rlimits\x81\xa3"
		     "abc\x01")},
		{LIT("\x05")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct span span = span_of(cases[i].bytes, cases[i].len);

		for (size_t len = 1; len < 60; len++) {
			struct arena *arena = arena_new(args_size(&span));
			struct all args = {0};
			char *why = malloc(len);

			assert_non_null(arena);
			assert_non_null(why);
			assert_int_equal(args_decode(all_table, &span, &args, arena, why, len),
				ERR_BAD_PARAMS);
			assert_int_equal(why[MIN(len - 1, strlen(why))], '\0');
			free(why);
			arena_free(arena);
		}
	}
}

static void gen_name(struct gen *g, const char *name)
{
	size_t len = strlen(name);

	gen_byte(g, 0xa0 | (unsigned)len);
	while (*name)
		gen_byte(g, (unsigned char)*name++);
}

static void gen_text(struct gen *g, uint32_t max)
{
	uint32_t n = rnd_below(&g->seed, max);

	gen_byte(g, 0xda);
	gen_be(g, n, 2);
	while (n--)
		gen_byte(g, 'a' + rnd_below(&g->seed, 26));
}

/* A value that the row takes, mostly; its cost in the arena is what matters. */
static void gen_fitting(struct gen *g, const struct arg *row)
{
	uint32_t n = rnd_below(&g->seed, rnd_below(&g->seed, 4) ? 4 : 60);

	switch (row->type) {
	case ARG_BOOL:
		gen_byte(g, 0xc2 + rnd_below(&g->seed, 2));
		break;
	case ARG_INT:
	case ARG_UINT:
		gen_byte(g, 1 + rnd_below(&g->seed, 3));
		break;
	case ARG_CHOICE:
		gen_name(g, colors[rnd_below(&g->seed, 3)]);
		break;
	case ARG_STR:
		gen_name(g, "/x");
		break;
	case ARG_BYTES:
		gen_text(g, 50);
		break;
	case ARG_STRS:
		gen_array(g, n);
		while (n--)
			gen_text(g, 3);
		break;
	case ARG_VARS:
		gen_map(g, n);
		while (n--) {
			gen_text(g, 3);
			if (rnd_below(&g->seed, 2))
				gen_byte(g, 0xc0);
			else
				gen_text(g, 3);
		}
		break;
	case ARG_PAIRS:
		gen_map(g, n);
		while (n--) {
			gen_text(g, 2);
			gen_byte(g, 0x92);
			gen_byte(g, 1);
			gen_byte(g, 2);
		}
		break;
	case ARG_PART:
		break;
	}
}

struct rows {
	const struct arg *at[32];
	size_t n;
};

static void collect(const struct arg *row, void *ctx)
{
	struct rows *rows = ctx;

	assert_in_range(rows->n, 0, ARRAY_LEN(rows->at) - 1);
	rows->at[rows->n++] = row;
}

/* Thousands of requests, fitting, half fitting and damaged: the arena is always enough. */
static void test_size_is_enough(void **state)
{
	enum { MESSAGES = 20000, CAP = 8192 };
	struct gen g = {.bytes = malloc(CAP), .cap = CAP, .seed = 12};
	struct rows rows = {.n = 0};
	unsigned good = 0, bad = 0;

	(void)state;
	assert_non_null(g.bytes);
	args_each(all_table, collect, &rows);
	for (int i = 0; i < MESSAGES; i++) {
		uint32_t first = rnd_below(&g.seed, (uint32_t)rows.n);
		uint32_t n = rnd_below(&g.seed, (uint32_t)rows.n);
		struct scan s;
		struct result r;

		g.len = 0;
		gen_byte(&g, 0x91); /* the message that scan_message looks at */
		gen_map(&g, n);
		for (uint32_t k = 0; k < n; k++) {
			const struct arg *row = rows.at[(first + k) % rows.n];

			gen_name(&g, row->name);
			if (rnd_below(&g.seed, 40))
				gen_fitting(&g, row);
			else
				gen_value(&g, 3);
		}
		if (i % 4 == 0)
			gen_mutate(&g);
		if (scan_message((char *)g.bytes, g.len, &s) || s.n_parts != 1)
			continue;
		decode(&r, all_table, s.part[0].bytes, s.part[0].len);
		assert_int_not_equal(r.err, ERR_LIMIT);
		if (r.err)
			assert_int_equal(r.err, ERR_BAD_PARAMS);
		if (r.err)
			bad++;
		else
			good++;
		drop(&r);
	}
	assert_in_range(good, MESSAGES / 2, MESSAGES);
	assert_in_range(bad, MESSAGES / 20, MESSAGES);
	free(g.bytes);
}

static void test_each(void **state)
{
	static const struct {
		const char *name, *type;
	} want[] = {
		{"flag", "bool"},
		{"n", "int"},
		{"size", "uint"},
		{"path", "str"},
		{"data", "bin"},
		{"argv", "[str]"},
		{"env", "{str: str|nil}"},
		{"rlimits", "{str: [uint, uint]}"},
		{"color", "str"},
		{"cwd", "str"}, /* of the included table, where it stands */
		{"nice", "int"},
		{"port", "uint"},
		{"level", "int"},
	};
	struct rows rows = {.n = 0};

	(void)state;
	args_each(all_table, collect, &rows);
	assert_int_equal(rows.n, ARRAY_LEN(want));
	for (size_t i = 0; i < rows.n; i++) {
		char type[ARG_TYPE_NAME_MAX];

		assert_string_equal(rows.at[i]->name, want[i].name);
		assert_string_equal(arg_type_name(rows.at[i], type), want[i].type);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_all_types),
		cmocka_unit_test(test_other_libraries),
		cmocka_unit_test(test_empty_values),
		cmocka_unit_test(test_required),
		cmocka_unit_test(test_unknown_and_twice),
		cmocka_unit_test(test_no_map),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_choices_are_told),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_element_limit),
		cmocka_unit_test(test_arena_exhaustion),
		cmocka_unit_test(test_short_why),
		cmocka_unit_test(test_size_is_enough),
		cmocka_unit_test(test_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
