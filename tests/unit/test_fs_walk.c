/* tests/unit/test_fs_walk.c - fs/walk: in order, however deep and wide, whatever changes meanwhile */
#include "fs/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/unit.h"

#include "fs/path.h"
#include "proto/limits.h"

static char root[PATH_MAX];

static void remove_tree(const char *path)
{
	struct fs_walk w = {0};
	struct fs_walk_item item;

	assert_int_equal(fs_walk_start(&w, path, 0, NULL, NULL), 0);
	while (fs_walk_next(&w, &item) > 0) {
		bool dir = item.type == DT_DIR;

		if (dir == (item.what == FS_WALK_LEAVE))
			assert_int_equal(unlinkat(item.dir, item.name, dir ? AT_REMOVEDIR : 0), 0);
	}
	fs_walk_fini(&w);
	assert_int_equal(rmdir(path), 0);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/test_fs_walk.XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	remove_tree(root);
	return 0;
}

/* Good until the one after the next. */
static const char *in_root(const char *name)
{
	static char path[2][2 * PATH_MAX];
	static unsigned turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", root, name);
	return path[turn];
}

static void make_dir(const char *name)
{
	assert_int_equal(mkdir(in_root(name), 0755), 0);
}

static void make_file(const char *name)
{
	int fd = open(in_root(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	close(fd);
}

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* What a walk tells: "a/ a/b -a/" and so on; "!d" for what failed. */
static void tell(const struct fs_walk_item *item, char *text, size_t size)
{
	size_t len = strlen(text);
	const char *sign = item->what == FS_WALK_LEAVE    ? "-"
			   : item->what == FS_WALK_FAILED ? "!"
							  : "";

	snprintf(text + len, size - len, "%s%s%s%s", len ? " " : "", sign, item->below,
		item->type == DT_DIR ? "/" : "");
}

static void test_order(void **state)
{
	struct fs_walk w = {0};
	struct fs_walk_item item;
	char text[256] = "";

	(void)state;
	make_dir("b");
	make_file("b/z");
	make_dir("b/e");
	make_dir("a");
	make_file("a-b");
	make_file("a/\xff");
	make_file("a/x");
	assert_int_equal(symlink("b", in_root("l")), 0);
	assert_int_equal(fs_walk_start(&w, root, 0, NULL, NULL), 0);
	while (fs_walk_next(&w, &item) > 0) {
		struct stat st;

		tell(&item, text, sizeof(text));
		assert_int_equal(fstatat(item.dir, item.name, &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(IFTODT(st.st_mode), item.type);
		assert_string_equal(item.path + strlen(root) + 1, item.below);
		assert_int_equal(item.depth, strchr(item.below, '/') ? 2 : 1);
	}
	assert_string_equal(text, "a/ a/x a/\xff -a/ a-b b/ b/e/ -b/e/ b/z -b/ l");
	fs_walk_fini(&w);
}

static void test_skip(void **state)
{
	struct fs_walk w = {0};
	struct fs_walk_item item;
	char text[256] = "";

	(void)state;
	make_dir("a");
	make_file("a/x");
	make_file("b");
	assert_int_equal(fs_walk_start(&w, in_root("///"), 0, NULL, NULL), 0);
	while (fs_walk_next(&w, &item) > 0) {
		tell(&item, text, sizeof(text));
		fs_walk_skip(&w);
	}
	assert_string_equal(text, "a/ b");
	fs_walk_fini(&w);
}

static void test_the_root(void **state)
{
	unsigned fds = open_fds();
	struct fs_walk w = {0};
	struct fs_walk_item item;

	(void)state;
	make_dir("d");
	make_file("d/x");
	make_file("f");
	assert_int_equal(symlink("d", in_root("l")), 0);
	assert_int_equal(fs_walk_start(&w, in_root("none"), 0, NULL, NULL), -ENOENT);
	fs_walk_fini(&w);
	assert_int_equal(fs_walk_start(&w, in_root("f"), 0, NULL, NULL), -ENOTDIR);
	fs_walk_fini(&w);
	/* Also with a slash behind it. */
	assert_int_equal(fs_walk_start(&w, in_root("l/"), 0, NULL, NULL), -ENOTDIR);
	fs_walk_fini(&w);
	assert_int_equal(fs_walk_start(&w, in_root("l"), FS_WALK_FOLLOW_ROOT, NULL, NULL), 0);
	assert_int_equal(fs_walk_next(&w, &item), 1);
	assert_string_equal(item.path, in_root("l/x"));
	assert_int_equal(fs_walk_next(&w, &item), 0);
	assert_int_equal(fs_walk_next(&w, &item), 0);
	fs_walk_fini(&w);
	fs_walk_fini(&w);
	/* Of the root of all, no path has two slashes. */
	assert_int_equal(fs_walk_start(&w, "/", 0, NULL, NULL), 0);
	assert_int_equal(fs_walk_next(&w, &item), 1);
	assert_int_equal(item.path[0], '/');
	assert_string_equal(item.path + 1, item.below);
	fs_walk_fini(&w);
	assert_int_equal(open_fds(), fds);
}

/* DEPTH directories in one another, with a file at the end. */
static void make_deep(unsigned depth, const char *name)
{
	int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

	for (unsigned i = 0; i < depth; i++) {
		int next;

		assert_int_equal(mkdirat(fd, name, 0755), 0);
		next = openat(fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
		assert_true(fd >= 0);
	}
	assert_int_equal(mknodat(fd, "end", S_IFREG | 0644, 0), 0);
	close(fd);
}

static void test_deep(void **state)
{
	const unsigned depth = 1000;
	unsigned fds = open_fds(), in = 0, out = 0;
	char name[101];
	struct fs_walk w = {0};
	struct fs_walk_item item;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	make_deep(depth, name);
	assert_int_equal(fs_walk_start(&w, root, 0, NULL, NULL), 0);
	while (fs_walk_next(&w, &item) > 0) {
		struct stat st;

		assert_int_not_equal(item.what, FS_WALK_FAILED);
		assert_int_equal(fstatat(item.dir, item.name, &st, AT_SYMLINK_NOFOLLOW), 0);
		assert_int_equal(strlen(item.path), strlen(root) + strlen(item.below) + 1);
		assert_true(open_fds() <= fds + FS_WALK_HELD + 1);
		if (item.what == FS_WALK_LEAVE) {
			assert_int_equal(item.depth, depth - out);
			out++;
		} else {
			in++;
			assert_int_equal(item.depth, in);
		}
	}
	assert_int_equal(in, depth + 1);
	assert_int_equal(out, depth);
	fs_walk_fini(&w);
	assert_int_equal(open_fds(), fds);
}

/* More names than are sorted at once: each is told once, and in order all the same. */
static void test_wide(void **state)
{
	enum { N = 30000, LEN = 200 };
	struct fs_walk w = {0};
	struct fs_walk_item item;
	char name[LEN + 1], last[LEN + 1] = "";
	uint32_t seed = 3;
	unsigned n = 0;
	int dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	BUILD_ASSERT(N * LEN > WALK_NAMES_MAX);
	memset(name, 'x', LEN);
	name[LEN] = '\0';
	for (unsigned i = 0; i < N; i++) {
		/* The number last, and something random before it: in no order. */
		snprintf(name, sizeof(name), "%08x%0*u", rnd(&seed), LEN - 8, i);
		assert_int_equal(mknodat(dir, name, S_IFREG | 0644, 0), 0);
	}
	close(dir);
	assert_int_equal(fs_walk_start(&w, root, 0, NULL, NULL), 0);
	while (fs_walk_next(&w, &item) > 0) {
		assert_true(strcmp(last, item.name) < 0);
		snprintf(last, sizeof(last), "%s", item.name);
		/* What is gone by the time does not matter. */
		assert_int_equal(unlinkat(item.dir, item.name, 0), 0);
		n++;
	}
	assert_int_equal(n, N);
	fs_walk_fini(&w);
}

/* Where many walks hold names, a walk gets by with little. */
static void test_wide_with_little_memory(void **state)
{
	enum { N = 2000, MANY = 300 };
	struct fs_walk *others = calloc(MANY, sizeof(*others)), w = {0};
	struct fs_walk_item item;
	unsigned n = 0;
	char last[256] = "";

	(void)state;
	assert_non_null(others);
	make_dir("many");
	for (unsigned i = 0; i < N; i++) {
		char name[256];

		snprintf(name, sizeof(name), "many/%0240u", i * 7919 % N);
		make_file(name);
	}
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(fs_walk_start(&others[i], in_root("many"), 0, NULL, NULL), 0);
	assert_int_equal(fs_walk_start(&w, in_root("many"), 0, NULL, NULL), 0);
	while (fs_walk_next(&w, &item) > 0) {
		assert_true(strcmp(last, item.name) < 0);
		snprintf(last, sizeof(last), "%s", item.name);
		n++;
	}
	assert_int_equal(n, N);
	fs_walk_fini(&w);
	for (unsigned i = 0; i < MANY; i++)
		fs_walk_fini(&others[i]);
	free(others);
}

/* One directory on the way is moved elsewhere while the walk stands in it, or two. */
static unsigned walk_moving(bool both)
{
	struct fs_walk w = {0};
	struct fs_walk_item item;
	unsigned failed = 0;
	bool moved = false, back = false;

	make_dir("to");
	make_deep(30, "d");
	make_file("d/later");
	assert_int_equal(fs_walk_start(&w, root, 0, NULL, NULL), 0);
	while (fs_walk_next(&w, &item) > 0) {
		back |= strcmp(item.below, "d/later") == 0;
		if (!moved && strcmp(item.name, "end") == 0) {
			assert_int_equal(rename(in_root("d/d/d/d/d/d"), in_root("to/x")), 0);
			if (both)
				assert_int_equal(rename(in_root("d/d"), in_root("to/y")), 0);
			moved = true;
		}
		if (item.what == FS_WALK_FAILED) {
			failed++;
			assert_int_equal(item.err, -ENOENT);
			assert_int_equal(strncmp(item.below, "d/d", 3), 0);
		}
	}
	fs_walk_fini(&w);
	assert_true(moved);
	assert_true(back); /* where it had come from */
	return failed;
}

static void test_moved(void **state)
{
	(void)state;
	assert_int_equal(walk_moving(false), 0);
}

/* Then what is between the two is out of reach, and that is told. */
static void test_moved_apart(void **state)
{
	(void)state;
	assert_true(walk_moving(true) > 0);
}

static void test_gone(void **state)
{
	struct fs_walk w = {0};
	struct fs_walk_item item;
	char text[256] = "";

	(void)state;
	make_dir("a");
	make_dir("b");
	make_dir("c");
	assert_int_equal(fs_walk_start(&w, root, 0, NULL, NULL), 0);
	while (fs_walk_next(&w, &item) > 0) {
		tell(&item, text, sizeof(text));
		if (item.what != FS_WALK_ENTRY)
			continue;
		if (*item.name == 'a')
			assert_int_equal(rmdir(in_root("a")), 0);
		if (*item.name == 'b') { /* a link is not followed, whatever it was before */
			assert_int_equal(rmdir(in_root("b")), 0);
			assert_int_equal(symlink("/", in_root("b")), 0);
		}
	}
	assert_string_equal(text, "a/ -a/ b/ !b/ -b/ c/ -c/");
	fs_walk_fini(&w);
}

static bool always(const void *ctx)
{
	return *(const bool *)ctx;
}

static void test_canceled(void **state)
{
	unsigned fds = open_fds();
	struct fs_walk w = {0};
	struct fs_walk_item item;
	bool canceled = false;

	(void)state;
	make_dir("a");
	make_file("a/x");
	assert_int_equal(fs_walk_start(&w, root, 0, always, &canceled), 0);
	assert_int_equal(fs_walk_next(&w, &item), 1);
	canceled = true;
	assert_int_equal(fs_walk_next(&w, &item), -ECANCELED);
	fs_walk_fini(&w);
	assert_int_equal(open_fds(), fds);
}

static void test_paths_of_any_length(void **state)
{
	size_t len = strlen(root), size = 3 * PATH_MAX;
	char *path = malloc(size + 2);
	struct path p;
	struct stat st;

	(void)state;
	assert_non_null(path);
	memcpy(path, root, len + 1);
	while (len < size - 200) {
		memset(path + len, 'p', 150);
		path[len] = '/';
		len += 150;
		path[len] = '\0';
	}
	assert_int_equal(path_open(path, &p), -ENOENT);
	path_close(&p);
	assert_int_equal(path_open_parents(path, NULL, &p), 0);
	assert_int_equal(strlen(p.name), 149);
	assert_int_equal(mkdirat(p.dir, p.name, 0755), 0);
	path_close(&p);
	assert_int_equal(path_open(path, &p), 0);
	assert_true(strlen(p.name) < PATH_MAX);
	assert_int_equal(fstatat(p.dir, p.name, &st, 0), 0);
	path_close(&p);
	/* Slashes do not count. */
	memset(path + len, '/', size - len);
	path[size] = '\0';
	assert_int_equal(path_open(path, &p), 0);
	assert_int_equal(fstatat(p.dir, p.name, &st, 0), 0);
	path_close(&p);
	memset(path + 5, 'x', size - 5);
	assert_int_equal(path_open(path, &p), -ENAMETOOLONG);
	path_close(&p);
	free(path);
}

static void test_base(void **state)
{
	static const char *const cases[][2] = {{"/", "/"}, {"///", "/"}, {"/a", "a"}, {"/a/b", "b"},
		{"/a/b//", "b"}, {"/a/.", "."}, {"x", "x"}};
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *base = path_base(cases[i][0], &len);

		assert_int_equal(len, strlen(cases[i][1]));
		assert_memory_equal(base, cases[i][1], len);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_order),
		T(test_skip),
		T(test_the_root),
		T(test_deep),
		T(test_wide),
		T(test_wide_with_little_memory),
		T(test_moved),
		T(test_moved_apart),
		T(test_gone),
		T(test_canceled),
		T(test_paths_of_any_length),
		cmocka_unit_test(test_base),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
