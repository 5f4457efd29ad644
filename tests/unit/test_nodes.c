/* tests/unit/test_nodes.c - init/nodes: a /dev without devtmpfs (as root) */
#include "init/nodes.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static void test_nodes(void **state)
{
	static const struct {
		const char *name;
		unsigned major, minor;
		mode_t mode;
	} wanted[] = {
		{"null", 1, 3, 0666},
		{"zero", 1, 5, 0666},
		{"full", 1, 7, 0666},
		{"random", 1, 8, 0666},
		{"urandom", 1, 9, 0666},
		{"tty", 5, 0, 0666},
		{"console", 5, 1, 0600},
		{"ptmx", 5, 2, 0666},
	};
	char dir[] = "/tmp/guestd-nodes-XXXXXX", path[64];
	const struct dirent *entry;
	DIR *d;

	(void)state;
	assert_non_null(mkdtemp(dir));
	/* What is there stays. */
	snprintf(path, sizeof(path), "%s/full", dir);
	assert_int_equal(mknod(path, S_IFCHR | 0600, makedev(1, 7)), 0);
	nodes_make(dir);
	nodes_make(dir);
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", dir, wanted[i].name);
		assert_int_equal(stat(path, &st), 0);
		assert_true(S_ISCHR(st.st_mode));
		assert_int_equal(st.st_rdev, makedev(wanted[i].major, wanted[i].minor));
		assert_int_equal(st.st_mode & 0777,
			strcmp(wanted[i].name, "full") == 0 ? 0600 : wanted[i].mode);
	}
	d = opendir(dir);
	assert_non_null(d);
	while ((entry = readdir(d))) {
		if (entry->d_name[0] != '.')
			assert_int_equal(unlinkat(dirfd(d), entry->d_name, 0), 0);
	}
	closedir(d);
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
