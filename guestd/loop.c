/* guestd/loop.c - the one event loop, and the end of its turns */
#include "guestd/loop.h"

#include <errno.h>

#include "base/clock.h"

static struct {
	struct ev_loop *ev;
	struct ev_check turn_begin;
	struct ev_prepare turn_end;
	ev_tstamp now;
	struct list turns, graves;
} loop;

static void on_turn_begin(struct ev_loop *ev, struct ev_check *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	loop.now = (ev_tstamp)clock_mono_us() / 1e6;
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
	on_turn_begin(loop.ev, &loop.turn_begin, 0);
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
