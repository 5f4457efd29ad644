/* tests/unit/test_glob.c - fs/glob: names as fnmatch(3) has them, paths as gitignore(5) does */
#include "fs/glob.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

#include "proto/limits.h"

static const struct {
	const char *pattern, *text;
	bool matches;
} names[] = {
	{"", "", true},
	{"", "a", false},
	{"a", "", false},
	{"a", "a", true},
	{"a", "ab", false},
	{"*", "", true},
	{"*", "abc", true},
	{"*.c", "x.c", true},
	{"*.c", ".c", true},
	{"*.c", "x.cc", false},
	{"*.c", "x.c.c", true},
	{"a*b*c", "aXbYbZc", true},
	{"a*b*c", "aXbYbZ", false},
	{"**", "anything", true},
	{"a**b", "ab", true},
	{"?", "a", true},
	{"?", "", false},
	{"?", "ab", false},
	{"\xff?", "\xff\xfe", true},
	{"[abc]", "b", true},
	{"[abc]", "d", false},
	{"[a-c]x", "bx", true},
	{"[!a-c]", "b", false},
	{"[!a-c]", "d", true},
	{"[^a-c]", "d", true},
	{"[]]", "]", true},
	{"[!]]", "]", false},
	{"[]-a]", "^", true},
	{"[a-]", "-", true},
	{"[-a]", "-", true},
	{"[\\]]", "]", true},
	{"[a\\-z]", "b", false},
	{"[a\\-z]", "-", true},
	{"[\x80-\xff]", "\xc3", true},
	{"[a", "[a", true},
	{"[a", "a", false},
	{"x[", "x[", true},
	{"\\*", "*", true},
	{"\\*", "a", false},
	{"\\a", "a", true},
	{"a\\", "a\\", true},
	{"*\\?", "really?", true},
};

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (glob_name(names[i].pattern, names[i].text) != names[i].matches)
			fail_msg("%s and %s", names[i].pattern, names[i].text);
	}
}

/* Whatever the pattern, as libc sees it. */
static void test_names_as_libc(void **state)
{
	static const char letters[] = "ab*?", plain[] = "ab";
	uint32_t seed = 7;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		char pattern[9] = "", text[9] = "";
		uint32_t n = rnd_below(&seed, 9), m = rnd_below(&seed, 9);

		for (uint32_t k = 0; k < n; k++)
			pattern[k] = letters[rnd_below(&seed, 4)];
		for (uint32_t k = 0; k < m; k++)
			text[k] = plain[rnd_below(&seed, 2)];
		if (glob_name(pattern, text) != (fnmatch(pattern, text, 0) == 0))
			fail_msg("%s and %s", pattern, text);
	}
}

static void test_no_pattern_takes_long(void **state)
{
	static char pattern[GLOB_MAX + 1], text[256];

	(void)state;
	for (size_t i = 0; i < GLOB_MAX; i++)
		pattern[i] = i % 2 ? 'a' : '*';
	pattern[200] = '\0';
	memset(text, 'a', sizeof(text) - 2);
	text[sizeof(text) - 2] = 'b';
	assert_false(glob_name(pattern, text));
}

/* PATTERNS by spaces. */
static bool ignored(const char *patterns, const char *below, bool dir)
{
	char text[256];
	const char *at[16];
	struct strs s = {.at = at};
	char *save;

	snprintf(text, sizeof(text), "%s", patterns);
	for (char *p = strtok_r(text, " ", &save); p; p = strtok_r(NULL, " ", &save))
		at[s.n++] = p;
	return glob_ignored(&s, below, dir);
}

static const struct {
	const char *patterns, *below;
	bool dir, ignored;
} paths[] = {
	{"", "a", false, false},
	{"node_modules", "node_modules", true, true},
	{"node_modules", "a/b/node_modules", true, true},
	{"node_modules", "a/node_modules2", true, false},
	{"*.log", "a/b/x.log", false, true},
	{"*.log", "a.log/x", false, false},
	{"/build", "build", true, true},
	{"/build", "a/build", true, false},
	{"/*.o", "x.o", false, true},
	{"/*.o", "a/x.o", false, false},
	{"build/", "build", true, true},
	{"build/", "build", false, false},
	{"build/", "a/build", true, true},
	{"a/build/", "a/build", true, true},
	{"a/build/", "x/a/build", true, false},
	{"a/*", "a/b", false, true},
	{"a/*", "a/b/c", false, false},
	{"a/*/c", "a/b/c", false, true},
	{"a/*/c", "a/c", false, false},
	{"a/**", "a", true, false},
	{"a/**", "a/b", false, true},
	{"a/**", "a/b/c", false, true},
	{"a/**/c", "a/c", false, true},
	{"a/**/c", "a/b/b/c", false, true},
	{"a/**/c", "a/b/b/d", false, false},
	{"**/c", "c", false, true},
	{"**/c", "a/b/c", false, true},
	{"**/c", "a/b/cc", false, false},
	{"**/b/**/d/**", "a/b/c/d/e", false, true},
	{"**/b/**/d/**", "a/b/c/d", true, false},
	{"**/a/**/b/c", "a/b/a/x/b/c", false, true},
	{"**/a/b", "a/a/b", false, true},
	{"*.c !keep.c", "x.c", false, true},
	{"*.c !keep.c", "a/keep.c", false, false},
	{"!keep.c *.c", "keep.c", false, true},
	{"\\!x", "!x", false, true},
	{"/", "a", true, false},
	{"!", "a", true, false},
	{"a//b", "a/b", false, false},
};

static void test_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		if (ignored(paths[i].patterns, paths[i].below, paths[i].dir) != paths[i].ignored)
			fail_msg("%s and %s", paths[i].patterns, paths[i].below);
	}
}

static void test_bounds(void **state)
{
	const char *at[MAX_GLOBS + 1];
	char *longest = malloc(GLOB_MAX + 2);
	struct strs s = {.at = at, .n = MAX_GLOBS};
	struct failure f;

	(void)state;
	assert_non_null(longest);
	memset(longest, 'a', GLOB_MAX + 1);
	longest[GLOB_MAX] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(at); i++)
		at[i] = longest;
	assert_int_equal(glob_check(&s, "ignore", &f), 0);
	s.n++;
	assert_int_equal(glob_check(&s, "ignore", &f), ERR_LIMIT);
	assert_non_null(strstr(f.message, "ignore"));
	longest[GLOB_MAX] = 'a';
	longest[GLOB_MAX + 1] = '\0';
	s.n = 1;
	assert_int_equal(glob_check(&s, "ignore", &f), ERR_LIMIT);
	free(longest);
	assert_int_equal(glob_check(&(struct strs){.at = NULL}, "ignore", &f), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_names_as_libc),
		cmocka_unit_test(test_no_pattern_takes_long),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
