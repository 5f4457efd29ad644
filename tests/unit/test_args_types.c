/* tests/unit/test_args_types.c - proto/args: each type, what it takes and what it refuses */
#include "tests/unit/args_all.h"

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
	assert_string_equal(a->signal, "TERM");
	assert_false(a->pty.given);
	assert_int_equal(a->pty.rows, 24);
	assert_int_equal(a->pty.cols, 80);
	assert_string_equal(a->pty.term, "xterm");
	assert_null(a->files.at);
	assert_int_equal(a->files.n, 0);
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
		{LIT("\x82\xa3pty\xc0\xa5"
		     "files\xc0")},
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
		LIT("\x86\xa4"
		    "data\xc4\x00\xa4"
		    "argv\x90\xa3"
		    "env\x80\xa7rlimits\x80\xa3pty\x80\xa5"
		    "files\x90"));
	assert_int_equal(r.err, 0);
	assert_non_null(r.args.data.at);
	assert_int_equal(r.args.data.len, 0);
	assert_non_null(r.args.argv.at);
	assert_null(r.args.argv.at[0]);
	assert_non_null(r.args.env.at);
	assert_int_equal(r.args.env.n, 0);
	assert_non_null(r.args.rlimits.at);
	assert_true(r.args.pty.given);
	assert_int_equal(r.args.pty.cols, 80);
	assert_non_null(r.args.files.at);
	assert_int_equal(r.args.files.n, 0);
	drop(&r);
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
		{"signal", {"\xc3", "\x90", "\x80", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff"}},
		{"pty", {"\x01", "\xa1x", "\x90", "\xc2", "\x91\x80"}},
		{"files", {"\x01", "\xa1x", "\x80", "\xc2", "\x91\x01", "\x91\xc0", "\x91\x90",
				  "\x91\xa1/"}},
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

/* Or a number, where that is as good as a name. */
static void test_or_number(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *want;
	} cases[] = {
		{LIT("\x81\xa6signal\x0f"), "15"},
		{LIT("\x81\xa6signal\xa2\x31\x35"), "15"},
		{LIT("\x81\xa6signal\xff"), "-1"},
		{LIT("\x81\xa6signal\xd3\x80\0\0\0\0\0\0\0"), "-9223372036854775808"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct result r;

		decode(&r, all_table, cases[i].bytes, cases[i].len);
		assert_int_equal(r.err, 0);
		assert_string_equal(r.args.signal, cases[i].want);
		drop(&r);
	}
	expect_bad(all_table, LIT("\x81\xa4path\x0f"), "path must be text");
}

/* A map inside: its own names, defaults, ranges; and the sentence says where. */
static void test_inner(void **state)
{
	struct result r;

	(void)state;
	decode(&r, all_table, LIT("\x81\xa3pty\x82\xa4rows\x32\xa4term\xc0"));
	assert_int_equal(r.err, 0);
	assert_true(r.args.pty.given);
	assert_int_equal(r.args.pty.rows, 50);
	assert_int_equal(r.args.pty.cols, 80);
	assert_string_equal(r.args.pty.term, "xterm");
	drop(&r);
	expect_bad(all_table, LIT("\x81\xa3pty\x81\xa4rows\x00"),
		"in pty: parameter rows must be from 1 to 1000");
	expect_bad(all_table, LIT("\x81\xa3pty\x81\xa4rows\xa1x"),
		"in pty: parameter rows must be a whole number");
	expect_bad(
		all_table, LIT("\x81\xa3pty\x81\xa4path\xa1/"), "in pty: unknown parameter path");
	expect_bad(all_table,
		LIT("\x81\xa3pty\x82\xa4"
		    "cols\x01\xa4"
		    "cols\x01"),
		"in pty: parameter cols is given twice");
	expect_bad(all_table, LIT("\x81\xa3pty\x81\x01\x01"), "in pty: the names of parameters");
	expect_bad(all_table, LIT("\x82\xa3pty\x80\xa3pty\x80"), "pty is given twice");
	expect_bad(all_table, LIT("\x81\xa4rows\x01"), "unknown parameter rows");
}

/* What is required in a map inside is so only where the map is given. */
static void test_inner_required(void **state)
{
	struct holder {
		struct part {
			bool given;
			const char *path;
		} part;
	};
	static const struct arg part_table[] = {
		ARG(struct part, path, .required = true),
		ARG_END,
	};
	static const struct arg table[] = {
		ARG_MAP(struct holder, part, part_table),
		ARG_END,
	};

	(void)state;
	expect_ok(table, LIT("\xc0"));
	expect_ok(table, LIT("\x81\xa4part\xc0"));
	expect_bad(table, LIT("\x81\xa4part\x80"), "in part: parameter path is required");
	expect_bad(table, LIT("\x81\xa4part\x81\xa4path\xc0"), "in part: parameter path");
}

/* A list of maps: the sentence says which. */
static void test_list(void **state)
{
	const struct file *file;
	struct result r;

	(void)state;
	decode(&r, all_table,
		LIT("\x81\xa5"
		    "files\x92\x81\xa4path\xa2/a\x82\xa4path\xa2/b\xa4sync\xc2"));
	assert_int_equal(r.err, 0);
	assert_int_equal(r.args.files.n, 2);
	file = r.args.files.at;
	assert_string_equal(file[0].path, "/a");
	assert_true(file[0].sync);
	assert_int_equal(file[0].mode, 0644);
	assert_string_equal(file[1].path, "/b");
	assert_false(file[1].sync);
	drop(&r);
	expect_bad(all_table,
		LIT("\x81\xa5"
		    "files\x92\x81\xa4path\xa1/\x80"),
		"in files[1]: parameter path is required");
	expect_bad(all_table,
		LIT("\x81\xa5"
		    "files\x91\x81\xa4path\xa1x"),
		"in files[0]: parameter path must be an absolute path");
	expect_bad(all_table,
		LIT("\x81\xa5"
		    "files\x91\x82\xa4path\xa1/\xa4rows\x01"),
		"in files[0]: unknown parameter rows");
	expect_bad(all_table,
		LIT("\x81\xa5"
		    "files\x91\x82\xa4path\xa1/\xa4path\xa1/"),
		"in files[0]: parameter path is given twice");
	expect_bad(all_table,
		LIT("\x81\xa5"
		    "files\x93\x81\xa4path\xa1/\x81\xa4path\xa1/\xc0"),
		"parameter files[2] must be a map");
	expect_bad(all_table,
		LIT("\x81\xa5"
		    "files\x91\xa1x"),
		"parameter files[0] must be a map");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_all_types),
		cmocka_unit_test(test_other_libraries),
		cmocka_unit_test(test_empty_values),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_choices_are_told),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_or_number),
		cmocka_unit_test(test_inner),
		cmocka_unit_test(test_inner_required),
		cmocka_unit_test(test_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
