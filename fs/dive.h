/*
 * fs/dive.h - beside a walk (fs/walk.h): the same directories elsewhere, entered and left again
 *
 * One descriptor, however deep.  On the way up it goes through "..", and only to the directory that
 * it came from.
 *
 * Owner: the caller.  Thread: worker.
 */
#ifndef FS_DIVE_H
#define FS_DIVE_H

#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "base/check.h"

struct dive_level {
	dev_t dev;
	ino_t ino;
	/* The caller's, for what it shall have at the end. */
	mode_t mode;
	struct timespec atim, mtim;
};

struct dive {
	int fd;                   /* where it stands */
	size_t depth;             /* 0: where it started */
	struct dive_level *level; /* private; [0, depth] */
	size_t size;
};

/* Consumes FD, an open directory.  dive_fini in any case; a zeroed one has to be started first. */
MUST_CHECK int dive_start(struct dive *d, int fd);
void dive_fini(struct dive *d);

/* The directory NAME in it, which is no link.  0 or -errno. */
MUST_CHECK int dive_enter(struct dive *d, const char *name);

/* 0, or -ESTALE where it was moved meanwhile, or another -errno. */
MUST_CHECK int dive_leave(struct dive *d);

static inline struct dive_level *dive_top(struct dive *d)
{
	return &d->level[d->depth];
}

#endif
