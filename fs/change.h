/*
 * fs/change.h - the same done to a file, or to a directory and all that is below it
 *
 * What fails does not keep the others from being done; the call fails at the end, with the first
 * error and how many there were.
 *
 * Thread: worker.
 */
#ifndef FS_CHANGE_H
#define FS_CHANGE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/walk.h"
#include "guestd/steps.h"

struct change {
	const char *path;
	bool recursive;
	bool children_first;
	const char *what; /* "cannot change the owner of" */
	/*
	 * To NAME in DIR, which is of TYPE (DT_*); FOLLOW: it is the path itself, which may be a link
	 * to what is meant.  0 or -errno.
	 */
	int (*apply)(struct work *w, int dir, const char *name, unsigned char type, bool follow);
};

/* The state of the call, zeroed. */
struct changing {
	struct fs_walk walk;
	enum { CHANGE_START, CHANGE_WALK, CHANGE_LAST } at;
	uint64_t n_failed;
};

/* A step of the method. */
int change_step(struct changing *c, const struct change *change, struct work *w, struct step *s);
void change_fini(struct changing *c);

#endif
