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
	struct failure failure;
	size_t max_result; /* bytes that fit into the client's frame */
	bool has_owner;    /* who.owner was given: */
	uid_t uid;
	gid_t gid;

	/* private */
	struct job job;
	struct req *req; /* NULL: the client is gone */
	struct arena *params;
	const struct method *method;
	struct account *account; /* NULL: with the agent's own rights */
	struct users_stamps stamps;
	struct users_wait users;
	struct buf out;
	atomic_bool canceled;
	unsigned attempts;
	bool finished;
	int err;
};

/* Fills the failure: "FMT ...: No such file or directory".  Returns ERR.  PATH may be NULL. */
int work_fail(struct work *w, int err, const char *path, const char *fmt, ...) PRINTF(4, 5);

/* Nobody waits for it any more: clean up and return -ECANCELED. */
bool work_canceled(const struct work *w);

/* For dispatch.c: instead of method->call. */
void work_start(struct req *req, void *args);

#endif
