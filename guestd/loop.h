/*
 * guestd/loop.h - the one event loop, and what happens at the end of each of its turns
 *
 *	wait -> callbacks ... -> turn-end functions -> burials -> wait
 *
 * Output is flushed at the end of a turn, so that everything one turn produced for a
 * connection leaves in one write.  Objects are marked dead anywhere and freed here only, so
 * that no callback frees what its caller still holds.
 *
 * The loop comes from ev_loop_new: libev's default loop reaps every child itself, and there is
 * one reaper here (proc/child.c).
 *
 * Thread: loop thread only.
 */
#ifndef GUESTD_LOOP_H
#define GUESTD_LOOP_H

#include <ev.h>

#include "base/list.h"

/* Something to do once at the end of this turn. */
struct turn {
	struct list link; /* loop.turns while waiting, else empty */
	void (*fn)(struct turn *turn);
};

/* Something to free at the end of this turn, after the functions above. */
struct grave {
	struct list link; /* loop.graves */
	void (*bury)(struct grave *grave);
};

/* 0 or -errno. */
MUST_CHECK int loop_init(void);
struct ev_loop *loop_ev(void);

/* Returns after loop_break. */
void loop_run(void);
void loop_break(void);

/* Frees what is still marked dead, and the loop. */
void loop_fini(void);

/*
 * When this turn began, in seconds that the agent has lived through: ev_now() jumps where somebody sets
 * the clock, CLOCK_MONOTONIC where a guest is restored or stood still for long.  Timers do not count
 * such a leap either.
 */
ev_tstamp loop_now(void);

/* For how many seconds this turn has gone on. */
ev_tstamp loop_turn_age(void);

void turn_init(struct turn *turn, void (*fn)(struct turn *turn));

/* FN is called at the end of this turn, once however often this is called. */
void turn_request(struct turn *turn);
void turn_cancel(struct turn *turn);

void loop_bury(struct grave *grave, void (*bury)(struct grave *grave));

#endif
