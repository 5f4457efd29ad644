/*
 * fs/clone.h - a copy of a file or a tree, with all that it has: for fs.copy, and for fs.move from
 * one file system to another
 *
 *	clone_init(&c, w);
 *	err = clone_begin(&c, &from, &st, to_dir, "temp");	// then, in steps (guestd/steps.h):
 *	err = clone_step(&c, s);
 *	clone_remove(...)					// unless it has got its name
 *	clone_fini(&c);
 *
 * Nobody but its owner can look into the copy of a tree until it is whole.  It needs no memory that
 * grows with the tree: who is a hard link of whom is kept in a directory of the copy itself.
 *
 * Owner: the caller.  Thread: worker.
 */
#ifndef FS_CLONE_H
#define FS_CLONE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/content.h"
#include "fs/dive.h"
#include "fs/path.h"
#include "fs/skipped.h"
#include "fs/walk.h"
#include "guestd/steps.h"

struct clone {
	/* Anything that cannot be copied is the end.  Otherwise, below the root, it is told. */
	bool strict;

	/* out */
	uint64_t files; /* all but directories; hard links count each */
	uint64_t bytes; /* their contents, holes among it; hard links count once */
	unsigned lost;  /* a set of ATTRS_LOST and CLONE_LOST_LINKS */
	struct skipped skipped;

	/* private */
	struct work *w;
	bool tree;
	bool unread;                  /* an error is the original's, not the copy's */
	bool itself;                  /* it is that the copy lies within the original */
	const char *root_path, *path; /* the original's; of what is copied now */
	int root_in, root_out, links;
	char links_name[32];
	struct stat root, root_made;
	struct fs_walk walk;
	struct dive dive;
	/* The file that is copied now; in is -1: none. */
	struct content content;
	struct stat st;
	int in, out, to_dir;
	char name[NAME_MAX + 1];
};

#define CLONE_LOST_LINKS 16u

void clone_init(struct clone *c, struct work *w);

/*
 * Begins to copy FROM, that PATH stands for and ST tells of, as NAME in TO_DIR, where no such is.  0 or
 * an error, with the failure of the call filled, as from all of these.  FROM, PATH and TO_DIR live as long.
 */
MUST_CHECK int clone_begin(struct clone *c, const struct path *from, const char *path,
	const struct stat *st, int to_dir, const char *name);

/* STEP_MORE, 0 when it is whole, or an error. */
MUST_CHECK int clone_step(struct clone *c, struct step *s);

/* `lost: ["owner", ...]` for a result, if there is anything: how many pairs (0 or 1). */
size_t clone_encode_lost(const struct clone *c, struct enc *e);

void clone_fini(struct clone *c);

/* Removes the copy NAME, whole or half; asks nobody and tells nobody. */
void clone_remove(int dir, const char *name);

/* In a walk through what is to go: removes what ITEM is the end of.  0 or -errno. */
MUST_CHECK int clone_remove_item(const struct fs_walk_item *item);

#endif
