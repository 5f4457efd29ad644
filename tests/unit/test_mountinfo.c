/* tests/unit/test_mountinfo.c - system/mountinfo: which file systems may be asked */
#include "system/mountinfo.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

static char text[64 << 10];
static struct mountinfo m;

static void parse(const char *lines)
{
	m = (struct mountinfo){0};
	snprintf(text, sizeof(text), "%s", lines);
	mountinfo_parse(&m, text);
}

static void test_fields(void **state)
{
	(void)state;
	parse("22 1 8:1 / / rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw,errors=continue\n"
	      "nonsense\n"
	      "23 22 0:5 / /with\\040blank\\134 ro - tmpfs none\\040x rw\n"
	      "24 22 8:2 / /ro rw - ext4 /dev/sda2 ro\n");
	assert_int_equal(m.n, 3);
	assert_string_equal(m.at[0].path, "/");
	assert_string_equal(m.at[0].type, "ext4");
	assert_string_equal(m.at[0].source, "/dev/sda1");
	assert_true(m.at[0].writable);
	assert_string_equal(m.at[1].path, "/with blank\\");
	assert_string_equal(m.at[1].source, "none x");
	assert_false(m.at[1].writable);
	assert_false(m.at[2].writable);
	assert_false(m.truncated);
	free(m.at);
}

/* Nobody waits for a server: not for it, nor on the way to what is behind it. */
static void test_remote(void **state)
{
	(void)state;
	parse("1 0 8:1 / / rw - ext4 a rw\n"
	      "2 1 0:40 / /nfs rw - nfs4 s:/x rw\n"
	      "3 2 8:2 / /nfs/disk rw - ext4 b rw\n"
	      "4 1 8:3 / /nfsx rw - ext4 c rw\n"
	      "5 1 0:41 / /f rw - fuse.sshfs s rw\n"
	      "6 1 0:42 / /c rw - fusectl s rw\n"
	      "7 1 8:4 / /over rw - ext4 d rw\n"
	      "8 7 0:43 / /over rw - cifs s rw\n");
	assert_true(m.at[1].remote && m.at[2].blocked && !m.at[2].remote);
	assert_false(m.at[0].remote || m.at[0].blocked);
	assert_false(m.at[3].remote || m.at[3].blocked);
	assert_true(m.at[4].remote);
	assert_false(m.at[5].remote);
	assert_true(m.at[6].hidden && m.at[6].blocked);
	free(m.at);
}

static void test_each_once(void **state)
{
	(void)state;
	parse("28 23 0:6 / /dev rw - devtmpfs d rw\n" /* was there before / was mounted */
	      "23 1 8:1 / / rw - ext4 a rw\n"
	      "24 23 8:1 /x /bound rw - ext4 a rw\n"
	      "25 23 8:2 / /data rw - ext4 b rw\n"
	      "26 25 0:50 / /data rw - tmpfs c rw\n"
	      "27 23 8:2 / /elsewhere rw - ext4 b rw\n");
	assert_false(m.at[0].hidden || m.at[0].again);
	assert_false(m.at[1].hidden || m.at[1].again);
	assert_true(m.at[2].again);
	assert_true(m.at[3].hidden);
	assert_false(m.at[4].hidden || m.at[4].again);
	assert_false(m.at[5].again);
	free(m.at);
}

static void test_many(void **state)
{
	static char lines[64 << 10];
	size_t len = 0;

	(void)state;
	for (int i = 0; i < 300; i++)
		len += (size_t)snprintf(lines + len, sizeof(lines) - len,
			"%d 1 0:%d / /m%d rw - tmpfs t rw\n", i + 2, i, i);
	parse(lines);
	assert_int_equal(m.n, 256);
	assert_true(m.truncated);
	free(m.at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_remote),
		cmocka_unit_test(test_each_once),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
