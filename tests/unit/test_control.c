/* tests/unit/test_control.c - init/control: what is said, and that nobody waits for it */
#include "init/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestd/keeper.h"
#include "guestd/loop.h"
#include "guestd/orphans.h"
#include "tests/unit/unit.h"

#define MANY 20000

static struct {
	int n, last, ends;
} heard;

static void on_orphan(pid_t pid, int status)
{
	assert_int_equal(status, 256 + pid % 100);
	assert_true(pid > heard.last); /* in order; some may be missing */
	heard.last = pid;
	heard.n++;
}

static void on_end(void)
{
	heard.ends++;
	loop_break();
}

static void test_what_is_said(void **state)
{
	struct control_plan plan = {END_HALT, 77}, got = {END_POWEROFF, 0};
	struct pollfd quiet = {.events = POLLIN};

	(void)state;
	assert_int_equal(control_fd(), -1);
	assert_int_equal(control_tell_end(), -ENOTCONN);
	assert_int_equal(control_ask_end(&plan), -ENOTCONN);
	control_tell_ended(1, 1); /* nobody is there: no harm */
	assert_false(control_is_there());

	/* Both ends are ours here.  What is told before the agent listens waits for it. */
	assert_int_equal(control_renew(), 0);
	assert_true(control_is_there());
	for (pid_t pid = 1; pid <= 300; pid++)
		control_tell_ended(pid, 256 + pid % 100);
	assert_int_equal(control_tell_end(), 0);
	assert_int_equal(loop_init(), 0);
	orphans_set_listener(on_orphan);
	assert_int_equal(control_start(on_end), 0);
	assert_false(control_machine_ends());
	loop_run();
	assert_int_equal(heard.n, 300);
	assert_int_equal(heard.ends, 1);
	assert_true(control_machine_ends());

	quiet.fd = control_fd();
	assert_int_equal(poll(&quiet, 1, 0), 0);
	assert_int_equal(control_hear(&got), SAID_NOTHING);
	assert_int_equal(control_ask_end(&plan), 0);
	control_done();
	assert_int_equal(control_hear(&got), SAID_END);
	assert_int_equal(got.mode, END_HALT);
	assert_int_equal(got.grace_ms, 77);
	assert_int_equal(control_hear(&got), SAID_DONE);
	assert_int_equal(control_hear(&got), SAID_NOTHING);

	/* An agent that hears nothing holds nobody up. */
	for (pid_t pid = 1000; pid < 1000 + MANY; pid++)
		control_tell_ended(pid, 256 + pid % 100);
	assert_true(control_tell_end() < 0); /* there are signals for that */
	control_stop();
}

static void test_what_a_dead_agent_said_last(void **state)
{
	struct control_plan plan = {END_REBOOT, 5}, got = {END_POWEROFF, 0};

	(void)state;
	/* It leaves something unread, which the kernel tells us first. */
	assert_int_equal(control_renew(), 0);
	control_tell_ended(5, 261);
	assert_int_equal(control_ask_end(&plan), 0);
	control_forked(); /* closes its end */
	assert_int_equal(control_hear(&got), SAID_END);
	assert_int_equal(got.mode, END_REBOOT);
	assert_int_equal(control_hear(&got), SAID_NOTHING);
	assert_int_equal(control_fd(), -1);
	control_leave();
}

/* How many descriptors this process has. */
static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 4096; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* The readable end alone; the other one is in *WRITER. */
static int make_pipe(int *writer, uint64_t *inode)
{
	struct stat st;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(fstat(fds[0], &st), 0);
	*writer = fds[1];
	*inode = st.st_ino;
	return fds[0];
}

static void hear_all(void)
{
	struct control_plan plan;

	assert_int_equal(control_hear(&plan), SAID_NOTHING);
}

static void test_pipes_are_kept(void **state)
{
	int reader[3], writer[3], fd, before;
	uint64_t inode[3];
	char bytes[8];

	(void)state;
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 3; i++)
		reader[i] = make_pipe(&writer[i], &inode[i]);
	assert_int_equal(control_renew(), 0);
	before = count_fds();
	assert_int_equal(control_start(on_end), 0);
	assert_int_equal(keeper_take(inode[0]), -1);
	for (int i = 0; i < 3; i++) {
		assert_true(keeper_keep(inode[i], reader[i]));
		fd_close(&reader[i]);
	}
	/* They are on their way, and then in the table. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(write(writer[i], "kept", 4), 4);
	hear_all();
	assert_int_equal(count_fds(), before);
	keeper_drop(inode[1]);
	hear_all();
	assert_int_equal(write(writer[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);

	/* As in an agent that was forked now: both have the table. */
	fd = keeper_take(inode[0]);
	assert_true(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), 4);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), -1);
	assert_int_equal(errno, EAGAIN);
	keeper_done();
	assert_int_equal(write(writer[2], "x", 1), -1);
	hear_all();
	fd_close(&fd);
	assert_int_equal(write(writer[0], "x", 1), -1);
	control_stop();
	keeper_stop();
	control_leave();
	for (int i = 0; i < 3; i++)
		fd_close(&writer[i]);
}

/* More at once than the socket takes: nothing is lost, and nobody waits. */
static void test_many_pipes(void **state)
{
	int writer, before = count_fds();
	uint64_t inode;
	int reader = make_pipe(&writer, &inode);

	(void)state;
	assert_int_equal(control_renew(), 0);
	assert_int_equal(control_start(on_end), 0);
	for (uint64_t n = 1; n <= 800; n++)
		assert_true(keeper_keep(n, reader));
	fd_close(&reader);
	for (uint64_t n = 1; n < 800; n++)
		keeper_drop(n);
	for (int i = 0; i < 200; i++) {
		hear_all();
		ev_sleep(0.001);
		ev_run(loop_ev(), EVRUN_NOWAIT);
	}
	assert_int_equal(write(writer, "x", 1), 1);
	keeper_drop(800);
	hear_all();
	assert_int_equal(write(writer, "x", 1), -1);
	control_stop();
	keeper_stop();
	control_leave();
	fd_close(&writer);
	assert_int_equal(count_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_said),
		cmocka_unit_test(test_what_a_dead_agent_said_last),
		cmocka_unit_test(test_pipes_are_kept),
		cmocka_unit_test(test_many_pipes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
