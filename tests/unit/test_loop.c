/* tests/unit/test_loop.c - timers, where the clock leaps */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "guestd/loop.h"
#include "tests/unit/unit.h"

static atomic_long leapt_s;

/* In place of libc's, for libev too. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
	int err = (int)syscall(SYS_clock_gettime, id, ts);

	if (!err && id == CLOCK_MONOTONIC)
		ts->tv_sec += atomic_load(&leapt_s);
	return err;
}

static struct ev_timer leap, late, soon, far;
static unsigned n_late, n_soon, n_far;

static void on_leap(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	atomic_fetch_add(&leapt_s, 3600);
}

static void on_late(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	n_late++;
}

static void on_soon(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	n_soon++;
	loop_break();
}

static void on_far(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	n_far++;
}

static void start(
	struct ev_timer *w, void (*fn)(struct ev_loop *, struct ev_timer *, int), ev_tstamp s)
{
	ev_timer_init(w, fn, s, 0);
	ev_timer_start(loop_ev(), w);
}

static void begin(void)
{
	assert_int_equal(loop_init(), 0);
	n_late = n_soon = n_far = 0;
	start(&late, on_late, 10);
	start(&far, on_far, 100);
	start(&soon, on_soon, 0.1);
}

/* What still has to wait does; to the second, since the machine may be slow. */
static void end(void)
{
	assert_int_equal(n_soon, 1);
	assert_int_equal(n_late, 0);
	assert_int_equal(n_far, 0);
	assert_true(ev_timer_remaining(loop_ev(), &late) <= 10);
	assert_true(ev_timer_remaining(loop_ev(), &far) > 80);
	assert_true(ev_timer_remaining(loop_ev(), &far) <= 100);
	ev_timer_stop(loop_ev(), &late);
	ev_timer_stop(loop_ev(), &far);
	loop_fini();
}

static void a_leap_in_a_callback_fires_nothing(void **state)
{
	ev_tstamp before;

	(void)state;
	begin();
	before = loop_now();
	start(&leap, on_leap, 0.01);
	loop_run();
	assert_true(loop_now() - before < 60);
	assert_true(loop_turn_age() < 60);
	end();
}

/* Its thread leaps while the loop waits: a signal would end the wait. */
static void *leap_soon(void *arg)
{
	usleep(20000);
	atomic_fetch_add(&leapt_s, 3600);
	return arg;
}

static void a_leap_while_the_loop_waits_fires_nothing(void **state)
{
	pthread_t thread;
	ev_tstamp before;

	(void)state;
	begin();
	before = loop_now();
	assert_int_equal(pthread_create(&thread, NULL, leap_soon, NULL), 0);
	loop_run();
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(loop_now() - before < 60);
	end();
}

/* Seconds, not minutes: a stop of the agent is time that has passed for what it serves. */
static void what_is_no_leap_counts(void **state)
{
	(void)state;
	begin();
	atomic_fetch_add(&leapt_s, 20);
	loop_run();
	assert_int_equal(n_late, 1);
	ev_timer_stop(loop_ev(), &far);
	loop_fini();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leap_in_a_callback_fires_nothing),
		cmocka_unit_test(a_leap_while_the_loop_waits_fires_nothing),
		cmocka_unit_test(what_is_no_leap_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
