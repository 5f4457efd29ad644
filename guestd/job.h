/*
 * guestd/job.h - the worker pool: whatever may block
 *
 *	submitted --> queued --> work() on a worker --> done() on the loop
 *
 * A job is embedded in the object that it belongs to.  Between job_submit and done() that
 * object belongs to the worker: the loop touches none of it.  done() is called exactly once.
 *
 * A few threads do all of it, as long as it moves.  Where nothing has moved for some milliseconds
 * one more is started, up to MAX_WORKERS; those that were not needed for seconds end.
 *
 * Two classes keep a hung file system from taking every worker: JOB_SLOW (a path that a client
 * named) leaves some of the threads to JOB_QUICK (the agent's own needs).
 */
#ifndef GUESTD_JOB_H
#define GUESTD_JOB_H

#include <stdbool.h>

#include "base/list.h"

enum job_class { JOB_QUICK, JOB_SLOW };

struct job {
	struct list link; /* a queue of the pool */
	enum job_class class;
	void (*work)(struct job *job); /* worker thread; may block */
	void (*done)(struct job *job); /* loop thread; may free the job; NULL of an offer */
};

/* Loop thread.  0 or -EAGAIN: MAX_QUEUED_JOBS are waiting. */
MUST_CHECK int job_submit(struct job *job);

/* The same for the next part of something that was submitted before: it is always taken. */
void job_continue(struct job *job);

/*
 * Of what a worker does it may offer parts to the others: JOB, whose done() is NULL, is worked by one
 * that has nothing older to do, and the pool forgets it with the end of work().  None may ever come
 * to it, so before the owner waits for it, it takes it back.  Any thread.
 */
void job_offer(struct job *job);

/* True: nobody has begun it, and nobody will.  False: somebody has, work() itself tells how far. */
MUST_CHECK bool job_take_back(struct job *job);

/* How many offers of one call the others can work at once: the processors, within reason. */
unsigned job_width(void);

/* Ends the workers that are idle; one that is stuck is left behind.  Loop thread, at the end. */
void job_shutdown(void);

#endif
