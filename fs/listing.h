/*
 * fs/listing.h - fs.list and fs.tree: the entries below a directory
 *
 * In one result, as many as fit into it, or as events as many as there are.
 *
 * Thread: worker.
 */
#ifndef FS_LISTING_H
#define FS_LISTING_H

#include <stdbool.h>
#include <stdint.h>

#include "fs/entry.h"
#include "fs/skipped.h"
#include "fs/walk.h"
#include "guestd/steps.h"

struct listing_options {
	const char *path;
	const struct strs *ignore; /* or NULL */
	uint64_t limit;            /* of the result; 0: what fits */
	uint64_t depth;            /* 0: any */
	bool show_depth;
	bool no_hidden; /* names that begin with a dot, and what is in them, are left out */
	bool stream;
};

/* The state of the call, zeroed. */
struct listing {
	struct fs_walk walk;
	struct skipped skipped;
	struct entry entry;
	struct buf one; /* an entry on its way: does it fit? */
	size_t mark;    /* of the array in the result */
	uint64_t n;
	bool begun, truncated;
};

/* A step of the method. */
int listing_step(
	struct listing *l, const struct listing_options *o, struct work *w, struct step *s);
void listing_fini(struct listing *l);

#endif
