/*
 * fs/walk.h - all that lies below a directory, in a stable order
 *
 *	struct fs_walk walk = {0};
 *	struct fs_walk_item item;
 *	int more = fs_walk_start(&walk, "/srv", FS_WALK_FOLLOW_ROOT, canceled, ctx);
 *
 *	while (more >= 0 && (more = fs_walk_next(&walk, &item)) > 0)
 *		...
 *	fs_walk_fini(&walk);
 *
 * Pre-order, the names of each directory by their bytes.  It goes by descriptors: every directory is
 * opened in the one above it and never through a link, so what changes on the way cannot lead it
 * elsewhere.  It is no recursion, and has an end also where the tree grows under it.
 *
 * Bounds: FS_WALK_HELD descriptors; the names of one directory and of all walks together (limits.h).
 * A directory with more names is read several times, in the order of its names each time.
 *
 * Owner: the caller.  Thread: worker, one at a time.
 */
#ifndef FS_WALK_H
#define FS_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

/* Directories that are held open: the root and the innermost ones. */
#define FS_WALK_HELD 8u

enum fs_walk_flags {
	FS_WALK_FOLLOW_ROOT = 1, /* the root may be a link to a directory */
};

enum fs_walk_what {
	/* NAME in DIR.  A directory is entered next, unless fs_walk_skip(). */
	FS_WALK_ENTRY,
	/*
	 * A directory that was an entry, and all in it has been: it can be removed, or get its times.
	 * Left out where it was skipped, or the one around it is not to be reached any more.
	 */
	FS_WALK_LEAVE,
	/* The directory `path` cannot be read, or not all of it: `err`.  The walk goes on. */
	FS_WALK_FAILED,
};

struct fs_walk_item {
	enum fs_walk_what what;
	int err; /* of FAILED: -errno, or ERR_LIMIT where it lies too deep */
	/* For the *at() calls, with AT_SYMLINK_NOFOLLOW; not of FAILED.  The walk closes DIR. */
	int dir;
	const char *name;
	const char *path; /* the root's and what lies below it, */
	const char *
		below; /* of which this is the second part; borrowed, as NAME is, to the next call */
	size_t depth;  /* 1 for what is in the root; 0 where the root itself failed */
	unsigned char type; /* DT_DIR, ...; DT_UNKNOWN where even lstat fails */
};

struct fs_walk_level;

struct fs_walk {
	/* private */
	struct fs_walk_level *level; /* from the root to the directory at hand */
	size_t n_levels, levels_size;
	struct buf path; /* of the entry at hand, ended by a NUL */
	size_t root_len; /* of it, the root's own path, without the last slash */
	bool (*canceled)(const void *ctx);
	const void *ctx;
	bool enter; /* the entry at hand, a directory, next */
	bool leave; /* it could not be entered */
	int failed; /* to be told next, of the directory `path` */
	unsigned char type;
};

/*
 * W is zeroed.  CANCELED is asked now and then, also while a large directory is read; NULL: nobody
 * is.  0 or -errno, for the root; fs_walk_fini() in any case.
 */
MUST_CHECK int fs_walk_start(struct fs_walk *w, const char *root, unsigned flags,
	bool (*canceled)(const void *ctx), const void *ctx);

/* The same with the directory FD, which it consumes; ROOT is what it is called. */
MUST_CHECK int fs_walk_start_fd(struct fs_walk *w, int fd, const char *root,
	bool (*canceled)(const void *ctx), const void *ctx);

/* 1 with ITEM filled, 0 at the end, or -ECANCELED. */
MUST_CHECK int fs_walk_next(struct fs_walk *w, struct fs_walk_item *item);

/* The directory that fs_walk_next() has just told of is not entered. */
void fs_walk_skip(struct fs_walk *w);

/* May be called twice, and on a zeroed walk. */
void fs_walk_fini(struct fs_walk *w);

#endif
