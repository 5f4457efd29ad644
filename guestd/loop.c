/* guestd/loop.c - the one event loop, and the end of its turns */
#include "guestd/loop.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"

/*
 * Seconds between two looks at the clock that cannot have passed for us: libev waits 59.743 at most
 * (MAX_BLOCKTIME), and no callback takes any.
 */
#define LEAP 65.0

static struct {
	struct ev_loop *ev;
	struct ev_check turn_begin;
	struct ev_prepare turn_end;
	ev_tstamp now;
	ev_tstamp seen, skipped; /* CLOCK_MONOTONIC, and what of it did not count */
	struct list turns, graves;
} loop;

/*
 * A guest that was restored, or stood still, may find that hours have gone by at once.  They have not for
 * what we wait for: everything due in them would come now, with every peer silent for hours and
 * every process out of its time.  So all timers wait from now for what they still had to wait.
 */
static void look_at_clock(void)
{
	ev_tstamp now = (ev_tstamp)clock_mono_us() / 1e6, passed = now - loop.seen;

	loop.seen = now;
	if (passed < LEAP)
		return;
	loop.skipped += passed;
	ev_resume(loop.ev); /* shifts timers by what has passed since libev's last look */
	log_warn("loop", "the clock has leapt by s=%.0f: what waits does so from now on", passed);
}

/* Before libev looks at the clock and finds timers due. */
static void on_acquire(struct ev_loop *ev) EV_NOEXCEPT
{
	(void)ev;
	look_at_clock();
}

static void on_turn_begin(struct ev_loop *ev, struct ev_check *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	loop.now = loop.seen - loop.skipped;
}

/* Runs before the loop waits again: what it starts and stops is seen by that wait. */
static void on_turn_end(struct ev_loop *ev, struct ev_prepare *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	while (!list_empty(&loop.turns)) {
		struct turn *turn = LIST_FIRST(&loop.turns, struct turn, link);

		list_del(&turn->link);
		turn->fn(turn);
	}
	while (!list_empty(&loop.graves)) {
		struct grave *grave = LIST_FIRST(&loop.graves, struct grave, link);

		list_del(&grave->link);
		grave->bury(grave);
	}
	look_at_clock();
}

int loop_init(void)
{
	loop.ev = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
	if (!loop.ev)
		return -ENOSYS;
	list_init(&loop.turns);
	list_init(&loop.graves);
	ev_check_init(&loop.turn_begin, on_turn_begin);
	ev_set_priority(&loop.turn_begin, EV_MAXPRI);
	ev_check_start(loop.ev, &loop.turn_begin);
	loop.seen = (ev_tstamp)clock_mono_us() / 1e6;
	on_turn_begin(loop.ev, &loop.turn_begin, 0);
	ev_set_loop_release_cb(loop.ev, NULL, on_acquire);
	ev_prepare_init(&loop.turn_end, on_turn_end);
	/* Lowest: after every other callback of the turn. */
	ev_set_priority(&loop.turn_end, EV_MINPRI);
	ev_prepare_start(loop.ev, &loop.turn_end);
	return 0;
}

struct ev_loop *loop_ev(void)
{
	return loop.ev;
}

ev_tstamp loop_now(void)
{
	return loop.now;
}

ev_tstamp loop_turn_age(void)
{
	return (ev_tstamp)clock_mono_us() / 1e6 - loop.skipped - loop.now;
}

void loop_run(void)
{
	ev_run(loop.ev, 0);
}

void loop_fini(void)
{
	on_turn_end(loop.ev, &loop.turn_end, 0);
	ev_check_stop(loop.ev, &loop.turn_begin);
	ev_prepare_stop(loop.ev, &loop.turn_end);
	ev_loop_destroy(loop.ev);
	loop.ev = NULL;
}

void loop_break(void)
{
	ev_break(loop.ev, EVBREAK_ALL);
}

void turn_init(struct turn *turn, void (*fn)(struct turn *turn))
{
	list_init(&turn->link);
	turn->fn = fn;
}

void turn_request(struct turn *turn)
{
	if (list_empty(&turn->link))
		list_add_tail(&loop.turns, &turn->link);
}

void turn_cancel(struct turn *turn)
{
	list_del(&turn->link);
}

void loop_bury(struct grave *grave, void (*bury)(struct grave *grave))
{
	grave->bury = bury;
	list_add_tail(&loop.graves, &grave->link);
}
