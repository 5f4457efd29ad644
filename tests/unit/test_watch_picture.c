/* tests/unit/test_watch_picture.c - fs/watch_picture: finds, renames and forgets, in little memory */
#include "fs/watch_picture.h"

#include <stdio.h>

#include "tests/unit/unit.h"

static uint32_t add(struct picture *p, uint32_t parent, const char *name, bool dir)
{
	uint32_t entry = picture_add(p, parent, name, strlen(name));

	assert_int_not_equal(entry, 0);
	if (dir)
		picture_at(p, entry)->flags |= PICTURE_DIR;
	return entry;
}

static void assert_path(struct picture *p, uint32_t entry, uint32_t top, const char *expected)
{
	struct buf path;

	buf_init(&path, 4096);
	assert_int_equal(picture_path(p, entry, top, &path), 0);
	assert_int_equal(buf_add(&path, "", 1), 0);
	assert_string_equal(buf_bytes(&path), expected);
	buf_fini(&path);
}

static void test_names(void **state)
{
	struct picture p;
	uint32_t root, a, b, x;

	(void)state;
	picture_init(&p);
	root = add(&p, 0, "", true);
	a = add(&p, root, "a", true);
	b = add(&p, root, "b", true);
	x = add(&p, a, "x", false);
	assert_int_equal(picture_find(&p, a, LIT("x")), x);
	assert_int_equal(picture_find(&p, b, LIT("x")), 0);
	assert_path(&p, x, root, "/a/x");
	assert_path(&p, root, root, "");
	assert_int_equal(picture_move(&p, a, b, LIT("longer than eight")), 0);
	assert_path(&p, x, root, "/b/longer than eight/x");
	assert_int_equal(picture_find(&p, root, LIT("a")), 0);
	assert_int_equal(picture_find(&p, b, LIT("longer than eight")), a);
	assert_true(picture_is_within(&p, x, b));
	assert_false(picture_is_within(&p, b, a));
	picture_remove(&p, x);
	assert_int_equal(picture_find(&p, a, LIT("x")), 0);
	assert_int_equal(p.count, 3);
	picture_fini(&p);
}

static void test_keys_and_inodes(void **state)
{
	struct picture p;
	uint32_t root, dir, one, two;

	(void)state;
	picture_init(&p);
	root = add(&p, 0, "", true);
	dir = add(&p, root, "dir", true);
	one = add(&p, dir, "one", false);
	two = add(&p, root, "two", false);
	picture_set_key(&p, dir, 7);
	picture_set_id(&p, one, 7); /* another kind of number */
	picture_set_id(&p, two, 7);
	assert_int_equal(picture_by_key(&p, 7), dir);
	assert_int_equal(picture_by_key(&p, 0), 0);
	assert_int_equal(
		picture_by_id(&p, 7, 0) + picture_by_id(&p, 7, picture_by_id(&p, 7, 0)), one + two);
	picture_set_id(&p, one, 8);
	assert_int_equal(picture_by_id(&p, 7, 0), two);
	assert_int_equal(picture_by_id(&p, 7, two), 0);
	picture_set_key(&p, dir, 0);
	assert_int_equal(picture_by_key(&p, 7), 0);
	picture_fini(&p);
}

/* In its place in the order, so that a walk goes on behind it. */
static void test_replace(void **state)
{
	uint32_t root, first, second, third, other, child;
	struct picture p;

	(void)state;
	picture_init(&p);
	root = add(&p, 0, "", true);
	third = add(&p, root, "third", false);
	second = add(&p, root, "second", true);
	first = add(&p, root, "first", false);
	other = add(&p, root, "other", true);
	child = add(&p, other, "child", false);
	assert_int_equal(picture_skip(&p, first, root), second);
	picture_replace(&p, second, other);
	assert_path(&p, child, root, "/second/child");
	assert_int_equal(picture_find(&p, root, LIT("second")), other);
	assert_int_equal(picture_find(&p, root, LIT("other")), 0);
	assert_int_equal(picture_skip(&p, first, root), other);
	assert_int_equal(picture_skip(&p, other, root), third);
	assert_int_equal(picture_skip(&p, third, root), 0);
	picture_set_dir(&p, third, true);
	assert_true(picture_at(&p, third)->flags & PICTURE_DIR);
	picture_fini(&p);
}

/* The names of a usual tree are 12 bytes long on average. */
static void test_size(void **state)
{
	struct picture p;
	uint32_t root, dir = 0;
	size_t bytes;
	char name[32];

	(void)state;
	picture_init(&p);
	root = add(&p, 0, "", true);
	for (unsigned i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "name-%07u", i);
		if (i % 20 == 0)
			dir = add(&p, root, name, true);
		else
			picture_set_id(&p, add(&p, dir, name, false), i);
	}
	bytes = picture_bytes(&p);
	print_message("%zu bytes an entry\n", bytes / p.count);
	assert_true(bytes / p.count <= 100);

	/* What was given back is used again. */
	for (unsigned i = 0; i < 100000; i++) {
		uint32_t last = picture_find(&p, dir, name, strlen(name));

		picture_remove(&p, last);
		snprintf(name, sizeof(name), "name+%07u", i);
		picture_set_id(&p, add(&p, dir, name, false), i + 1);
	}
	assert_int_equal(picture_bytes(&p), bytes);
	picture_fini(&p);
}

static void test_long_names(void **state)
{
	char name[PICTURE_NAME_MAX + 2];
	struct picture p;
	uint32_t root;

	(void)state;
	memset(name, 'n', sizeof(name));
	picture_init(&p);
	root = add(&p, 0, "", true);
	assert_int_equal(picture_add(&p, root, name, PICTURE_NAME_MAX + 1), 0);
	for (size_t len = 1; len <= PICTURE_NAME_MAX; len++)
		assert_int_not_equal(picture_add(&p, root, name, len), 0);
	for (size_t len = 1; len <= PICTURE_NAME_MAX; len++)
		assert_int_not_equal(picture_find(&p, root, name, len), 0);
	assert_int_equal(p.count, PICTURE_NAME_MAX + 1);
	picture_fini(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_keys_and_inodes),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_long_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
