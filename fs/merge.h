/*
 * fs/merge.h - a tree goes into one that is there: by renames, once all of it stands beside it
 *
 * What both have as a directory is one afterwards, with the attributes of the new one; anything else
 * of the new tree takes the place of what was there.  First it looks whether that can be done.
 *
 * Owner: the caller.  Thread: worker.
 */
#ifndef FS_MERGE_H
#define FS_MERGE_H

#include <stdbool.h>

#include "fs/dive.h"
#include "fs/walk.h"
#include "guestd/steps.h"

struct merge {
	unsigned lost; /* out: a set of ATTRS_LOST */

	/* private */
	struct work *w;
	const char *path;
	int from, to;
	struct fs_walk walk;
	struct dive dive;
	bool looking; /* nothing changes yet */
};

/*
 * FROM, a whole tree that nobody else uses, and TO, directories of one file system, are borrowed; so
 * is PATH, what TO is called.  0 or an error with the failure of the call filled, as from merge_step.
 * merge_fini() in any case, unless it was never begun.
 */
MUST_CHECK int merge_begin(struct merge *m, struct work *w, int from, int to, const char *path);

/* STEP_MORE, 0 when FROM is empty but for directories, or an error. */
MUST_CHECK int merge_step(struct merge *m, struct step *s);

/*
 * The attributes of FROM for TO, once nothing in TO changes any more: FROM may be removed before.  0 or
 * an error.
 */
MUST_CHECK int merge_finish(struct merge *m);

void merge_fini(struct merge *m);

#endif
