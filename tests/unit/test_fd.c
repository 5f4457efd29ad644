/* tests/unit/test_fd.c - base/fd: descriptors closed once, files read and written whole */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/unit.h"

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void test_close(void **state)
{
	int fds[2], copy;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	copy = fds[0];
	errno = ENOENT;
	fd_close(&fds[0]);
	assert_int_equal(fds[0], -1);
	assert_false(is_open(copy));
	errno = ENOENT;
	fd_close(&fds[0]); /* -1: nothing to close */
	assert_int_equal(errno, ENOENT);
	fd_close(&fds[1]);
}

static void test_cleanup(void **state)
{
	int kept, closed;

	(void)state;
	{
		cleanup_fd int a = dup(2), b = dup(2);

		closed = b;
		kept = take_fd(&a);
		assert_int_equal(a, -1);
		assert_true(is_open(kept) && is_open(closed));
	}
	assert_true(is_open(kept));
	assert_false(is_open(closed));
	fd_close(&kept);
}

static void test_nonblock(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fd_set_nonblock(fds[0]), 0);
	assert_int_equal(fcntl(fds[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	assert_int_equal(fd_set_nonblock(987), -EBADF);
}

static void test_read_file(void **state)
{
	char path[] = "/tmp/guestd-unit-XXXXXX", out[11];
	int fd = mkstemp(path);

	(void)state;
	assert_in_range(fd, 0, 1000);
	assert_int_equal(fd_read_file(path, out, sizeof(out)), 0);
	assert_string_equal(out, "");
	assert_int_equal(fd_write_all(fd, "0123456789abcdef", 10), 0);
	assert_int_equal(fd_read_file(path, out, sizeof(out)), 10);
	assert_string_equal(out, "0123456789");
	assert_int_equal(fd_write_all(fd, "more", 4), 0);
	assert_int_equal(fd_read_file(path, out, sizeof(out)), 10); /* as much as fits */
	assert_string_equal(out, "0123456789");
	fd_close(&fd);
	unlink(path);
	assert_int_equal(fd_read_file(path, out, sizeof(out)), -ENOENT);
	assert_int_equal(fd_read_file("/", out, sizeof(out)), -EISDIR);
}

/* procfs gives its files no size and its contents in pieces. */
static void test_read_proc(void **state)
{
	char out[4096];

	(void)state;
	assert_in_range(fd_read_file("/proc/self/status", out, sizeof(out)), 100, 4095);
	assert_int_equal(strncmp(out, "Name:", 5), 0);
}

enum { MUCH = 1 << 20 };

static void *drain(void *arg)
{
	int *fd = arg;
	size_t *total = calloc(1, sizeof(*total));
	char bytes[1000];
	ssize_t n;

	while (total && (n = read(*fd, bytes, sizeof(bytes))) > 0)
		*total += (size_t)n;
	return total;
}

static void test_write_all(void **state)
{
	char *bytes = calloc(1, MUCH);
	pthread_t thread;
	size_t *total;
	int fds[2];

	(void)state;
	assert_non_null(bytes);
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(pthread_create(&thread, NULL, drain, &fds[0]), 0);
	assert_int_equal(fd_write_all(fds[1], bytes, MUCH), 0);
	fd_close(&fds[1]);
	assert_int_equal(pthread_join(thread, (void **)&total), 0);
	assert_non_null(total);
	assert_int_equal(*total, MUCH);
	free(total);
	fd_close(&fds[0]);
	free(bytes);
	assert_int_equal(fd_write_all(987, "x", 1), -EBADF);
	assert_int_equal(fd_write_all(987, "", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_cleanup),
		cmocka_unit_test(test_nonblock),
		cmocka_unit_test(test_read_file),
		cmocka_unit_test(test_read_proc),
		cmocka_unit_test(test_write_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
