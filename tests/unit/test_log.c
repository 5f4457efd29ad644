/* tests/unit/test_log.c - base/log: one line an event, whole, and not too many of them */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/unit.h"

static int stderr_copy = -1, pipe_end = -1;

/* From here to captured() stderr is a pipe. */
static void capture(void)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fd_set_nonblock(fds[0]), 0);
	stderr_copy = dup(STDERR_FILENO);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	fd_close(&fds[1]);
	pipe_end = fds[0];
}

/* What was written to stderr since capture(). */
static const char *captured(void)
{
	static char out[8192];
	ssize_t n = read(pipe_end, out, sizeof(out) - 1);

	assert_int_equal(dup2(stderr_copy, STDERR_FILENO), STDERR_FILENO);
	fd_close(&stderr_copy);
	fd_close(&pipe_end);
	out[MAX(n, 0)] = '\0';
	return out;
}

static void test_line(void **state)
{
	(void)state;
	capture();
	errno = ENOSPC;
	log_warn("conn", "message key=%d", 7);
	assert_int_equal(errno, ENOSPC);
	assert_string_equal(captured(), "guestd: warn conn: message key=7\n");
}

static void test_levels(void **state)
{
	enum log_level level = LOG_ERROR;

	(void)state;
	capture();
	log_debug("a", "no");
	log_info("a", "yes");
	log_set_level(LOG_ERROR);
	log_warn("a", "no");
	log_error("a", "yes");
	log_set_level(LOG_DEBUG);
	log_debug("a", "yes");
	log_set_level(LOG_INFO);
	assert_string_equal(
		captured(), "guestd: info a: yes\nguestd: error a: yes\nguestd: debug a: yes\n");
	assert_true(log_level_parse("debug", &level));
	assert_int_equal(level, LOG_DEBUG);
	assert_true(log_level_parse("error", &level));
	assert_int_equal(level, LOG_ERROR);
	assert_false(log_level_parse("", &level));
	assert_false(log_level_parse("errors", &level));
	assert_false(log_level_parse("DEBUG", &level));
}

/* However long, a line is one line, and ends. */
static void test_long(void **state)
{
	char text[2000];

	(void)state;
	for (size_t len = 860; len < 900; len++) {
		const char *out;

		memset(text, 'x', len);
		text[len] = '\0';
		capture();
		log_info("a", "%s", text);
		out = captured();
		assert_int_equal(strlen(out), MIN(len + 16 + 1, 900));
		assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
	}
}

static void test_limited(void **state)
{
	const char *out;
	int lines = 0;

	(void)state;
	capture();
	for (int i = 0; i < 100; i++)
		log_limited(LOG_WARN, "a", "again");
	out = captured();
	for (const char *p = out; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, 10);
}

/* What was left out is told with the next line that passes. */
static void test_limit_window(void **state)
{
	struct log_limit limit = {.window_us = 1, .lines = 40, .dropped = 30};

	(void)state;
	capture();
	assert_true(log_limit_pass(&limit, "a"));
	assert_string_equal(captured(), "guestd: warn a: left out lines=30\n");
	assert_int_equal(limit.lines, 1);
	assert_int_equal(limit.dropped, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_limited),
		cmocka_unit_test(test_limit_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
