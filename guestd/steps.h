/*
 * guestd/steps.h - long calls on workers, cut into steps: whatever streams from or into files
 *
 *	struct find { struct walk walk; uint64_t matches; };	// zeroed, one a call
 *
 *	static int find_step(struct work *w, struct step *s)
 *	{
 *		struct find *f = w->state;
 *
 *		while (!step_due(s)) {
 *			...
 *			step_event_begin(s, &e);	// then one map, as of chan_event_begin
 *			step_event_end(s, &e);
 *		}
 *		return STEP_MORE;
 *	}
 *
 *	static void find_end(struct work *w) { walk_fini(...); }
 *
 *	static const struct steps find_steps = {
 *		.step = find_step, .end = find_end, .state_size = sizeof(struct find),
 *	};
 *
 *	METHOD(fs_find) = {..., .streams = true, .steps = &find_steps, WHO(struct find_args)};
 *
 * A step fills one block, of data or of events, and returns; the loop sends it as the client has
 * room, while the next step fills a second one.  So no worker waits for a client, and a call that
 * nobody reads costs two blocks.
 *
 *	step --STEP_MORE--> (block free, input there) --> step ... --0 or error--> end --> response
 *	                                                       \--cancel, gone---> end
 *
 * One that waits for the world, not for the client, returns STEP_WAIT and holds no worker meanwhile.
 *
 * All that a client is told in events and data goes before the response, an error among them.
 * What follows a cancel is dropped.
 *
 * Owner: as of struct work.  Thread: worker, one step at a time, not always the same thread.
 */
#ifndef GUESTD_STEPS_H
#define GUESTD_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guestd/work.h"

/* Beside 0, the end, and the errors: call me again. */
#define STEP_MORE 1000
/* Call me again when step.wait_fd can be read, or step.wait_ms have passed, or steps_wake(). */
#define STEP_WAIT 1001

struct step {
	/* For STEP_WAIT: the descriptor, or -1; how long at most, or 0 for any time.  Both stay set. */
	int wait_fd;
	unsigned wait_ms;

	/* Room for data of channel 1: the step writes to `out`, and into `out_len` how much. */
	char *out;
	size_t out_size, out_len;

	/*
	 * Input of channel 0.  The step says in `in_used` how much of it it has used up: the rest
	 * comes again, in front of what came since.
	 */
	const char *in;
	size_t in_len, in_used;
	bool in_end; /* nothing follows */

	/* private */
	struct work *work;
	struct buf events;
	uint64_t until_us;
	bool too_long;
	bool piped; /* the block's bytes are in its pipe */
};

/*
 * Up to LEN bytes of the regular file FD, from its position on, into this block without a copy:
 * instead of writing to `out`, whose length it counts up.  All of one block comes this way or none
 * of it.  Bytes, 0 at the end of the file, or an error: where the block has something so far it may
 * just be full (-EAGAIN), else this cannot be done, and the file is to be read.
 */
MUST_CHECK ssize_t step_splice(struct step *s, int fd, size_t len);

struct steps {
	size_t state_size; /* of w->state */
	size_t block;      /* bytes of `out`; 0: it sends events alone */
	/*
	 * It is called when there is input, or its end.  The first step is called at once, without
	 * any, to open what the input is for.
	 */
	bool input;
	/*
	 * With the rights of the user.  STEP_MORE, STEP_WAIT, 0 with w->result encoded (in this step or
	 * several), or an error (work_fail).
	 */
	int (*step)(struct work *w, struct step *s);
	/*
	 * Once, after the last step, with the rights of the user: closes, removes what is half done.
	 * NULL: nothing to do.  Not called where no step was.
	 */
	void (*end)(struct work *w);
};

/*
 * The step is to return, with STEP_MORE: its block is full, somebody else wants the worker, or
 * nobody waits for the call any more.
 */
bool step_due(const struct step *s);

/*
 * An event, w->max_result bytes at most: one that is longer makes the call fail with `limit`.
 * Events of a block go before its data.
 */
void step_event_begin(struct step *s, struct enc *e);
void step_event_end(struct step *s, struct enc *e);

/* All calls of STEPS that wait go on: what they wait for may have come.  Thread: loop. */
void steps_wake(const struct steps *steps);

/* For dispatch.c: instead of method->call. */
void steps_start(struct req *req, void *args);

#endif
