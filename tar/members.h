/*
 * tar/members.h - what an archive is made of: one path or several, all below them, and their names in it
 *
 * A name in the archive is the path from `base` on, which all paths lie in.  Without one it is the
 * directory itself where one path alone is a directory, else the innermost directory that all paths
 * are in.  What is `base` itself has no name, so it is no entry: only what it holds is.
 *
 * Links below a path are never followed; the paths themselves may be links.
 *
 * Owner: the call's state.  Thread: worker, one at a time.
 */
#ifndef TAR_MEMBERS_H
#define TAR_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "fs/path.h"
#include "fs/walk.h"
#include "guestd/work.h"

/* Parameters, for ARG_INCLUDE. */
struct members_args {
	const char *path;
	struct strs paths, ignore;
};
extern const struct arg members_table[];

struct members {
	/* private */
	struct work *w;
	const struct members_args *args;
	const char *base; /* borrowed, or `made` */
	char *made;
	size_t base_len; /* without a slash at the end: 0 is the root */
	const char *const *root;
	size_t n_roots, next_root;
	struct path path; /* of a root that is no directory */
	int fd;           /* of one that is, until it is walked */
	dev_t dev;
	bool one_file_system, walking, root_told;
	bool open; /* `path` */
	char *root_name;
	struct fs_walk walk;
};

struct members_item {
	/* -errno or ERR_LIMIT: the directory `path` cannot be read, or not all of it. */
	int err;
	int dir; /* for the *at() calls */
	const char *name;
	int nofollow;     /* AT_SYMLINK_NOFOLLOW, or 0 for a path that was given */
	const char *path; /* borrowed to the next call, as all of these */
	const char *member;
	unsigned char type; /* DT_DIR, ...; DT_UNKNOWN where even lstat fails */
};

/*
 * BASE may be NULL.  0, or an error with the failure of the call filled: a path that is not there is
 * the end of it, before anything was sent.  members_fini() in any case.
 */
MUST_CHECK int members_begin(struct members *t, struct work *w, const struct members_args *args,
	const char *base, bool one_file_system);

/* 1 with ITEM filled, 0 at the end, or an error; then the failure is filled, unless canceled. */
MUST_CHECK int members_next(struct members *t, struct members_item *item);

/* The directory that was just told is not entered. */
void members_skip(struct members *t);

/* May be called on a zeroed one. */
void members_fini(struct members *t);

#endif
