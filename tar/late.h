/*
 * tar/late.h - what directories get at the end: modes and times, which filling them would need or change
 *
 *	late_add(&l, path, mode, &atime, &mtime);
 *	err = late_apply(&l, &below, stop, ctx);	// LATE_MORE: it was stopped, call again
 *	late_fini(&l);
 *
 * What is in a directory comes before it, so that one that may not be entered then hides nothing; of
 * one that was in the archive twice the last one counts.  Kept in memory, of which there are bounds.
 *
 * Owner: the caller.  Thread: worker.
 */
#ifndef TAR_LATE_H
#define TAR_LATE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "tar/below.h"

#define LATE_MORE 1

struct late_dir;

struct late {
	unsigned lost; /* a set of ATTRS_LOST (fs/attrs.h) */

	/* private */
	struct late_dir *first, **tail; /* a list, in the order of the archive */
	struct late_dir **sorted;
	size_t n, at, bytes;
};

/* Of the times, UTIME_OMIT in tv_nsec leaves one alone.  0, -ENOMEM, or ERR_LIMIT: the bound is reached. */
MUST_CHECK int late_add(
	struct late *l, const char *path, mode_t mode, const struct timespec times[2]);

/* Until STOP says so.  0, LATE_MORE or -ENOMEM. */
MUST_CHECK int late_apply(
	struct late *l, const struct below *b, bool (*stop)(const void *ctx), const void *ctx);

/* L is zeroed, or was used. */
void late_fini(struct late *l);

#endif
