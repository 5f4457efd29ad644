/* tests/unit/test_control.c - init/control: what is said, and that nobody waits for it */
#include "init/control.h"

#include <errno.h>
#include <poll.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_said),
		cmocka_unit_test(test_what_a_dead_agent_said_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
