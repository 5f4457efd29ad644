/*
 * tar/team.h - tasks that are given in an order, done by whoever is free, and taken back in that order
 *
 *	team_give(&t, task, true);
 *	task = team_ready(&t);		// the oldest, once it is done; team_take(&t) removes it
 *	team_help(&t);			// nothing else to do: does one, or waits for the oldest
 *
 * The owner offers them to the other workers (guestd/job.h) and does itself what nobody has begun.  So
 * it gets done by one thread alone, too, and nobody waits for what is not being worked on.
 *
 * Owner: the call's state.  Thread: worker, one at a time; a task is of the one that works on it.
 */
#ifndef TAR_TEAM_H
#define TAR_TEAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "guestd/job.h"
#include "proto/limits.h"

struct team;

struct task {
	void (*work)(struct task *task); /* any worker, with the agent's own rights or others */

	/* private */
	struct job job;
	struct team *team;
	bool offered;
	bool done; /* under the mutex */
};

struct team {
	unsigned n;     /* tasks that were given and not taken */
	unsigned width; /* as many make sense: one more than there are processors */

	/* private */
	bool (*canceled)(const void *ctx);
	const void *ctx;
	atomic_bool stop;
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	struct task *ring[TAR_TASKS_MAX];
	unsigned first;
	bool begun;
};

/* CANCELED is asked by the tasks, on any worker; NULL: nobody is. */
void team_begin(struct team *t, bool (*canceled)(const void *ctx), const void *ctx);

/* For the tasks: nobody wants it any more. */
bool team_stopped(const struct team *t);

/* OFFER: others may do it; else it waits for team_help().  t->n < t->width. */
void team_give(struct team *t, struct task *task, bool offer);

/* The oldest, if it is done, or NULL; and its removal. */
struct task *team_ready(struct team *t);
void team_take(struct team *t);

/* Does the oldest that nobody has begun; else waits for the oldest of all, but not for long. */
void team_help(struct team *t);

/* The tasks are to end; afterwards nobody has a task any more.  Those left are to be taken one by one. */
void team_stop(struct team *t);
struct task *team_left(struct team *t);

/* When none is left; may be called on a zeroed one. */
void team_fini(struct team *t);

#endif
