/*
 * guestd/work.h - methods that are done on a worker: whatever touches files
 *
 *	struct stat_args { struct who who; const char *path; };
 *
 *	static int stat_work(struct work *w)
 *	{
 *		const struct stat_args *a = w->args;
 *		...
 *		return work_fail(w, -errno, a->path, "cannot look at it");
 *	}
 *
 *	METHOD(fs_stat) = {..., .work = stat_work, WHO(struct stat_args)};
 *
 * The function has the rights of the user that the call names: the kernel does the checking.  It
 * encodes one value, the result ({} where it encodes none), or fails.  It may take its time; a long
 * one asks work_canceled() now and then.
 *
 * Owner: the request, until the worker has it; then the pool, until done.  Thread: worker.
 */
#ifndef GUESTD_WORK_H
#define GUESTD_WORK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "guestd/job.h"
#include "guestd/users.h"
#include "proto/args.h"
#include "proto/enc.h"
#include "proto/err.h"

struct req;

/* Who does it, and to whom what it makes shall belong; each NULL = the agent, as it comes. */
struct who {
	const char *user, *owner;
};

/* Rows for ARG_INCLUDE: `user` alone, or both. */
extern const struct arg user_table[];
extern const struct arg who_table[];

/* In a METHOD: S has a field `struct who who`. */
#define WHO(S) .has_who = true, .who = offsetof(S, who)

struct work {
	/* for the work function */
	const void *args;
	struct enc result;
	bool tells_more; /* with an error: what `result` holds goes along as its `data` */
	struct failure failure;
	size_t max_result; /* bytes that fit into the client's frame */
	bool has_owner;    /* who.owner was given: */
	uid_t uid;
	gid_t gid;
	void *state; /* of a call in steps (steps.h) */

	/* private to work.c and steps.c */
	struct job job;
	struct req *req; /* NULL: the client is gone */
	struct arena *params;
	const struct method *method;
	struct account *account; /* NULL: with the agent's own rights */
	struct users_stamps stamps;
	struct users_wait users;
	struct buf out;
	atomic_bool canceled;
	bool busy;         /* the job is queued or runs */
	bool entered;      /* the users were found unchanged once: the call keeps its ids */
	bool stale;        /* they were not: to be resolved anew */
	unsigned attempts; /* at that */
	int err;
	/* It is over, as err says; the client was not told so far.  Loop. */
	void (*over)(struct work *w);
};

/* Fills the failure: "FMT ...: No such file or directory".  Returns ERR.  PATH may be NULL. */
int work_fail(struct work *w, int err, const char *path, const char *fmt, ...) PRINTF(4, 5);

/* Nobody waits for it any more: clean up and return -ECANCELED. */
bool work_canceled(const struct work *w);

/* For dispatch.c: instead of method->call. */
void work_start(struct req *req, void *args);

/*
 * For steps.c.  Thread: loop, but for work_enter and work_leave.
 */
struct chan_ops;

/* Makes REQ a stream with OPS, whose owner is W.  The caller has set job and over. */
void work_init(struct work *w, struct req *req, void *args, const struct chan_ops *ops);
void work_fini(struct work *w);

/* Resolves the users and queues the job; where that fails, over() is called. */
void work_begin(struct work *w);

/* First of all in job.done: true if the job is queued anew, because the users have changed. */
bool work_retry(struct work *w);

/* Around what has the rights of the user.  0, or it has not got them. */
MUST_CHECK int work_enter(struct work *w);
void work_leave(struct work *w);

/* The client does not want it any more, or is gone; true: and no worker has it. */
void work_cancel(void *owner);
bool work_orphan(struct work *w);

/* Sends the result, or the error.  W is to be freed then. */
void work_reply(struct work *w, struct req *req);
void work_refuse(struct work *w, struct req *req);

#endif
