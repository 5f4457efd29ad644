/* tests/unit/test_cgroup_base.c - where the agent's cgroup shows, from the texts that /proc gives */
#include "proc/cgfs.c"
#include "proc/cgroup_base.c"
#include "proc/cgroup_owner.c"
#include "proc/tree.c"

#include "tests/unit/unit.h"

static void test_a_mount_shows_what_is_below_its_root(void **state)
{
	static const struct {
		const char *root, *point, *seen, *dir; /* NULL: it does not show */
	} cases[] = {
		{"/", "/sys/fs/cgroup", "/", "/sys/fs/cgroup"},
		{"/", "/sys/fs/cgroup", "/a/b", "/sys/fs/cgroup/a/b"},
		{"/a", "/mnt", "/a", "/mnt"},
		{"/a", "/mnt", "/a/b", "/mnt/b"},
		{"/a", "/mnt", "/ab", NULL},
		{"/a", "/mnt", "/", NULL},
		{"/a/b", "/mnt", "/a", NULL},
		{"/", "/", "/a", "/a"},
		{"/", "/", "/", "/"},
		/* Above our namespace: names are not known there. */
		{"/..", "/mnt", "/a", NULL},
		{"/../..", "/mnt", "/", NULL},
		{"/", "/mnt", "/../b", NULL},
		{"/", "/mnt", "/..", NULL},
		{"/", "/mnt", "/..b", "/mnt/..b"},
	};
	char out[PATH_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cgroup_mount m = {cases[i].root, cases[i].point};

		if (!cases[i].dir) {
			assert_false(cgroup_mount_dir(&m, cases[i].seen, out));
			continue;
		}
		assert_true(cgroup_mount_dir(&m, cases[i].seen, out));
		assert_string_equal(out, cases[i].dir);
		assert_true(cgroup_mount_seen(&m, cases[i].dir, out));
		assert_string_equal(out, cases[i].seen);
	}
	assert_false(cgroup_mount_seen(&(struct cgroup_mount){"/", "/mnt"}, "/mnt2", out));
	assert_false(cgroup_mount_seen(&(struct cgroup_mount){"/..", "/mnt"}, "/mnt/a", out));
}

static void test_a_path_that_is_too_long_does_not_show(void **state)
{
	char seen[PATH_MAX], out[PATH_MAX];

	(void)state;
	memset(seen, 'x', sizeof(seen) - 1);
	seen[0] = '/';
	seen[sizeof(seen) - 1] = '\0';
	assert_true(cgroup_mount_dir(&(struct cgroup_mount){"/", "/"}, seen, out));
	assert_false(cgroup_mount_dir(&(struct cgroup_mount){"/", "/m"}, seen, out));
}

static void test_the_line_of_the_second_version(void **state)
{
	char alone[] = "0::/a/b\n", hybrid[] = "4:memory:/x0::/y\n0::/\n",
	     first[] = "4:memory:/x\n";

	(void)state;
	assert_string_equal(unified_path(alone), "/a/b");
	assert_string_equal(unified_path(hybrid), "/");
	assert_null(unified_path(first));
}

/* Without notes, as in a directory that is no cgroup, the name says it. */
static void test_whose_directory_it_is(void **state)
{
	char ours[64], theirs[64];
	cleanup_fd int own = cgfs_open(AT_FDCWD, "/proc");

	(void)state;
	assert_true(own >= 0);
	snprintf(ours, sizeof(ours), "guestd.%d.agent", (int)getpid());
	snprintf(theirs, sizeof(theirs), "guestd.%d", (int)getppid());
	/* Our own is not made yet: it is an old one of that pid. */
	assert_int_equal(cgroup_owner_find(own, ours, "/run"), OWNER_DEAD);
	assert_int_equal(cgroup_owner_find(own, theirs, "/run"), OWNER_ALIVE);
	assert_int_equal(cgroup_owner_find(own, "guestd.2147483647", "/run"), OWNER_DEAD);
	assert_int_equal(cgroup_owner_find(own, "guestd.2147483647.2", "/run"), OWNER_DEAD);
	assert_int_equal(cgroup_owner_find(own, "guestd.2147483648", "/run"), OWNER_ALIVE);
	assert_int_equal(cgroup_owner_find(own, "guestd.", "/run"), OWNER_ALIVE);
	assert_int_equal(cgroup_owner_find(own, "guestd.x", "/run"), OWNER_ALIVE);
	assert_int_equal(cgroup_owner_find(own, "guestd.2147483647x", "/run"), OWNER_ALIVE);
	assert_int_equal(cgroup_owner_find(own, "guestd-2147483647", "/run"), OWNER_ALIVE);
}

static void test_words_and_numbers(void **state)
{
	static const char text[] = "low 0\noom 3\noom_kill 18446744073709551615\n";
	uint64_t n = 7;
	int fds[2];

	(void)state;
	assert_true(has_word("cpuset cpu pids\n", "cpu"));
	assert_true(has_word("cpuset cpu pids\n", "pids"));
	assert_false(has_word("cpuset pids\n", "cpu"));
	assert_false(has_word("", "cpu"));

	FILE *f = tmpfile();

	assert_non_null(f);
	assert_int_equal(fwrite(LIT(text), 1, f) + fflush(f), 1);
	assert_true(cgfs_value(fileno(f), "oom_kill", &n));
	assert_int_equal(n, UINT64_MAX);
	assert_true(cgfs_value(fileno(f), "oom", &n));
	assert_int_equal(n, 3);
	assert_false(cgfs_value(fileno(f), "oo", &n));
	assert_int_equal(pipe(fds), 0);
	assert_false(cgfs_value(fds[0], "oom", &n)); /* not a file: pread fails */
	close(fds[0]);
	close(fds[1]);
	fclose(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_mount_shows_what_is_below_its_root),
		cmocka_unit_test(test_a_path_that_is_too_long_does_not_show),
		cmocka_unit_test(test_the_line_of_the_second_version),
		cmocka_unit_test(test_whose_directory_it_is),
		cmocka_unit_test(test_words_and_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
