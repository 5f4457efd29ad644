/* tests/unit/test_pattern.c - fs/pattern: extended regular expressions, line by line, within bounds */
#include "fs/pattern.h"

#include <stdio.h>

#include "tests/unit/unit.h"

#include "proto/err.h"
#include "proto/limits.h"

/* The first line of TEXT that matches, counted from 1; 0: none; negative: refused. */
static int first(const char *pattern, bool ignore_case, const char *bytes, size_t len)
{
	char text[64], why[200] = "";
	struct pattern p;
	int line = 1, found = 0;

	if (pattern_init(&p, pattern, ignore_case, why, sizeof(why))) {
		assert_non_null(strstr(why, "pattern"));
		pattern_fini(&p);
		return -1;
	}
	assert_true(len < sizeof(text));
	memcpy(text, bytes, len);
	for (char *at = text;; line++) {
		char *end = memchr(at, '\n', (size_t)(text + len - at));
		size_t n = (size_t)((end ? end : text + len) - at);

		found = pattern_match(&p, at, n, false, false);
		if (found || !end)
			break;
		at = end + 1;
	}
	pattern_fini(&p);
	return found > 0 ? line : found;
}

static void test_lines(void **state)
{
	static const char text[] = "one\ntwo two\n\n(3)\n\xff\xfe";

	(void)state;
	assert_int_equal(first("two", false, LIT(text)), 2);
	assert_int_equal(first("TWO", false, LIT(text)), 0);
	assert_int_equal(first("TWO", true, LIT(text)), 2);
	assert_int_equal(first("^$", false, LIT(text)), 3);
	assert_int_equal(first("o$", false, LIT(text)), 2);
	assert_int_equal(first("(t|\\()[w3]", false, LIT(text)), 2);
	assert_int_equal(first("\\(3\\)", false, LIT(text)), 4);
	assert_int_equal(first("\xff", false, LIT(text)), 5);
	assert_int_equal(first("[\xfe]", false, LIT(text)), 5);
	assert_int_equal(first("", false, LIT(text)), 1);
}

/* What is found in several lines at once is never before the first that matches, nor behind it. */
static void test_search(void **state)
{
	static const char *const patterns[] = {"ab", "a.*b", "^b", "b$", "a[[:space:]]b",
		"(a|b)c?a", "[^a]a", "ba+", "\\(", "a\\sa"};
	static const char letters[] = "aab(\n";
	uint32_t seed = 11;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		const char *text = patterns[rnd_below(&seed, ARRAY_LEN(patterns))];
		char lines[34];
		size_t len = rnd_below(&seed, sizeof(lines) - 1), at;
		int want, found;
		struct pattern p;
		char why[200];

		for (size_t k = 0; k < len; k++)
			lines[k] = letters[rnd_below(&seed, 5)];
		want = first(text, false, lines, len);
		assert_int_equal(pattern_init(&p, text, false, why, sizeof(why)), 0);
		found = pattern_search(&p, lines, len, &at);
		if (found) {
			int line = 1;

			for (size_t k = 0; k < at; k++)
				line += lines[k] == '\n';
			assert_true(!want || line <= want);
		} else {
			assert_int_equal(want, 0);
		}
		pattern_fini(&p);
	}
}

static void test_parts(void **state)
{
	char starts[] = "ax", ends[] = "xb", why[200];
	struct pattern p;

	(void)state;
	assert_int_equal(pattern_init(&p, "^a|b$", false, why, sizeof(why)), 0);
	assert_int_equal(pattern_match(&p, starts, 2, false, true), 1);
	assert_int_equal(pattern_match(&p, starts, 2, true, true), 0);
	assert_int_equal(pattern_match(&p, ends, 2, true, false), 1);
	assert_int_equal(pattern_match(&p, ends, 2, true, true), 0);
	pattern_fini(&p);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {"(", "[", "[[:none:]]", "(a)\\1", "a{100000}",
		"((a{30}){30}){30}", "((((a+)+)+)+){200}", "(a{0,900}b){2}"};
	static const char *const good[] = {"a{1000}", "(a{10}){50}", "[[:alpha:]]+", "[]a]",
		"[^]a]", "a|b|c", "((((a))))*", "x{2,}", "\\.\\*", "[\\1]"};
	char text[2 * PATTERN_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (first(bad[i], false, "", 0) >= 0)
			fail_msg("%s", bad[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (first(good[i], false, "", 0) < 0)
			fail_msg("%s", good[i]);
	}
	memset(text, '(', 1000);
	memset(text + 1000, ')', 1000);
	text[2000] = '\0';
	assert_int_equal(first(text, false, "", 0), -1);
	memset(text, 'a', PATTERN_MAX);
	text[PATTERN_MAX] = '\0';
	assert_int_equal(first(text, false, "", 0), 0); /* not compiled */
	text[PATTERN_MAX] = 'a';
	text[PATTERN_MAX + 1] = '\0';
	assert_int_equal(first(text, false, "", 0), -1);
	text[10] = '.';
	text[PATTERN_MAX] = '\0';
	assert_int_equal(first(text, false, "", 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_search),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
