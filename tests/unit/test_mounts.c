/* tests/unit/test_mounts.c - base/mounts: lines of the kernel */
#include "base/mounts.h"

#include "tests/unit/unit.h"

static void test_lines(void **state)
{
	char plain[] = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw";
	char odd[] = "31 23 0:27 /a\\040b /m\\134n\\011 rw - fuse.it none rw,user_id=0";
	char bare[] = "32 23 0:28 / / rw - rootfs rootfs";
	struct mount m;

	(void)state;
	assert_true(mount_parse(plain, &m));
	assert_int_equal(m.id, 30);
	assert_string_equal(m.device, "0:26");
	assert_string_equal(m.root, "/");
	assert_string_equal(m.point, "/sys/fs/cgroup");
	assert_string_equal(m.options, "rw,nosuid");
	assert_string_equal(m.type, "cgroup2");
	assert_string_equal(m.source, "cgroup2");
	assert_string_equal(m.super, "rw");
	assert_true(mount_parse(odd, &m));
	assert_string_equal(m.root, "/a b");
	assert_string_equal(m.point, "/m\\n\t");
	assert_string_equal(m.type, "fuse.it");
	assert_true(mount_parse(bare, &m));
	assert_string_equal(m.super, "");
}

static void test_what_is_no_line(void **state)
{
	static const char *const lines[] = {
		"", " - ", "30 23 - cgroup2 x", "30 23 0:26 / /x rw - type", "30 23 0:26 / /x rw"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		char line[64];
		struct mount m;

		memcpy(line, lines[i], strlen(lines[i]) + 1);
		assert_false(mount_parse(line, &m));
	}
}

static void test_options(void **state)
{
	(void)state;
	assert_true(mount_has_option("ro", "ro"));
	assert_true(mount_has_option("rw,nosuid,ro", "ro"));
	assert_false(mount_has_option("rw,errors=remount-ro", "ro"));
	assert_false(mount_has_option("", "ro"));
	assert_false(mount_has_option("rox,xro", "ro"));
}

static void test_our_own(void **state)
{
	struct mounts mounts;
	bool root = false;

	(void)state;
	assert_int_equal(mounts_read(&mounts), 0);
	for (size_t i = 0; i < mounts.n; i++)
		root = root || strcmp(mounts.at[i].point, "/") == 0;
	assert_true(root);
	mounts_free(&mounts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_what_is_no_line),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_our_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
