/*
 * tests/unit/test_args_shape.c - proto/args: which parameters, how many, and what they cost
 *
 * Parameters come from a peer.  Whatever they hold, the answer is a struct that was filled by the
 * rules, or a sentence; and the arena that args_size asks for is always enough.
 */
#include <errno.h>

#include "tests/unit/args_all.h"
#include "tests/unit/msgpack_gen.h"

static const struct arg required_table[] = {
	ARG(struct all, path, .required = true),
	ARG(struct all, size, .required = true),
	ARG_END,
};

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
	for (size_t size = 0; size <= args_size(all_table, &span); size++) {
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
		{LIT("\x81\xa5"
		     "files\x91\x80")},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct span span = span_of(cases[i].bytes, cases[i].len);

		for (size_t len = 1; len < 60; len++) {
			struct arena *arena = arena_new(args_size(all_table, &span));
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

static void gen_file(struct gen *g)
{
	uint32_t n = rnd_below(&g->seed, 3);

	gen_map(g, 1 + n);
	gen_name(g, "path");
	gen_name(g, "/");
	if (n > 0) {
		gen_name(g, "data");
		gen_text(g, 3);
	}
	if (n > 1) {
		gen_name(g, "tags");
		gen_array(g, 1);
		gen_text(g, 3);
	}
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
		if (row->or_number)
			gen_byte(g, rnd_below(&g->seed, 128));
		else
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
	case ARG_INNER:
		gen_map(g, 2);
		gen_name(g, "cols");
		gen_byte(g, 1 + rnd_below(&g->seed, 100));
		gen_name(g, "term");
		gen_text(g, 10);
		break;
	case ARG_ITEMS:
		gen_array(g, n);
		while (n--)
			gen_file(g);
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

/* The dearest list: a byte each on the wire, and lists in them that are as large. */
static void test_size_of_lists(void **state)
{
	struct large {
		char room[1000];
		struct items inner;
	};
	struct larger {
		char room[3000];
		bool flag;
	};
	struct top {
		struct items outer;
	};
	static const struct arg larger_table[] = {
		ARG(struct larger, flag),
		ARG_END,
	};
	static const struct arg large_table[] = {
		ARG_LIST(struct large, inner, struct larger, larger_table),
		ARG_END,
	};
	static const struct arg top_table[] = {
		ARG_LIST(struct top, outer, struct large, large_table, .required = true),
		ARG_END,
	};
	enum { N = 500 };
	struct gen g = {.bytes = malloc(100000), .cap = 100000, .seed = 5};

	(void)state;
	assert_non_null(g.bytes);
	for (uint32_t inner = 0; inner < 12; inner++) {
		gen_map(&g, 1);
		gen_name(&g, "outer");
		gen_array(&g, N);
		for (int i = 0; i < N; i++) {
			gen_byte(&g, inner ? 0x81 : 0x80);
			if (!inner)
				continue;
			gen_name(&g, "inner");
			gen_array(&g, inner - 1);
			for (uint32_t k = 1; k < inner; k++)
				gen_byte(&g, 0x80);
		}
		expect_ok(top_table, (char *)g.bytes, g.len);
		g.len = 0;
	}
	expect_bad(top_table, LIT("\x80"), "outer is required");
	expect_bad(top_table,
		LIT("\x81\xa5outer\x92\x80\x81\xa5inner\x91\x81\xa4"
		    "flag\x01"),
		"in outer[1]: in inner[0]: parameter flag must be true or false");
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
		{"signal", "str"},
		{"pty", "{rows: uint, cols: uint, term: str}"},
		{"files", "[{path: str, data: bin, mode: uint, tags: [str], sync: bool}]"},
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
		cmocka_unit_test(test_required),
		cmocka_unit_test(test_unknown_and_twice),
		cmocka_unit_test(test_no_map),
		cmocka_unit_test(test_element_limit),
		cmocka_unit_test(test_arena_exhaustion),
		cmocka_unit_test(test_short_why),
		cmocka_unit_test(test_size_is_enough),
		cmocka_unit_test(test_size_of_lists),
		cmocka_unit_test(test_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
