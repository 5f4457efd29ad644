/*
 * ctl/flight.h - many calls of one connection at once
 *
 *	flight_begin(&f, ctl)
 *	... flight_room(&f, 16), then params into flight_call(&f, task, "fs.read"), flight_send ...
 *	status = flight_end(&f)
 *
 * Each call is a task, embedded in what its owner needs to know of it.  What comes goes to its
 * callbacks; a descriptor may feed its channel 0.  A signal cancels all of them, as in ctl/relay.h;
 * from then on, and once the connection is lost, every function returns that exit status.
 *
 * Thread: main, one flight or relay at a time.
 */
#ifndef CTL_FLIGHT_H
#define CTL_FLIGHT_H

#include <stdint.h>

#include "base/check.h"
#include "base/list.h"
#include "ctl/command.h"

/* Calls that may be open at once. */
#define FLIGHT_MAX 64

struct task {
	/* in */
	/* Data of the call.  0, or -errno: then it is canceled.  NULL: there is none. */
	int (*take)(struct task *t, const char *bytes, size_t len);
	/* An event of the call, which lives until this returns.  NULL: they are dropped. */
	void (*event)(struct task *t, const struct val *event);
	/* LEN bytes of in_fd are on their way.  NULL: nobody counts. */
	void (*fed)(struct task *t, size_t len);
	/*
	 * The end, exactly once; T is the owner's again.  Both NULL: the connection was lost.
	 * What they point at lives until done returns.
	 */
	void (*done)(struct task *t, const struct val *error, const struct val *result);
	int in_fd; /* to channel 0, with its end; -1: none.  Stays the owner's */
	/*
	 * Instead of in_fd: up to SIZE bytes for channel 0, without waiting for anybody.  How many, 0 at
	 * the end.  NULL: none; it becomes that after the end.
	 */
	size_t (*pull)(struct task *t, char *bytes, size_t size);

	/* out */
	int err; /* -errno of take or of reading in_fd, why the call was canceled; or 0 */

	/* private */
	struct list link; /* flight.tasks */
	uint32_t id;
};

struct flight {
	struct ctl *ctl;
	struct list tasks;
	unsigned n;
	/* Called now and then, at least four times a second; NULL: not.  Set by the owner. */
	void (*tick)(void *ctx);
	void *ctx;
	int status; /* 0, or why nothing more is to be begun */
};

/* Connects where that was not done.  0 or an exit status; flight_end is due after 0 only. */
MUST_CHECK int flight_begin(struct flight *f, struct ctl *ctl);

/* Waits until fewer than MAX calls are open.  0 or an exit status. */
MUST_CHECK int flight_room(struct flight *f, unsigned max);

/* Begins a call: its parameters go into the encoder, then flight_send.  Fewer than FLIGHT_MAX are open. */
struct enc *flight_call(struct flight *f, struct task *t, const char *method);

/* 0; or -errno with the reason in client_why, and T's done is not called. */
MUST_CHECK int flight_send(struct flight *f, struct task *t);

/* Waits for the end of all calls.  The exit status so far: 0 unless it was stopped or lost. */
int flight_end(struct flight *f);

#endif
