/*
 * fs/path.h - a path of any length, as the *at() calls take it
 *
 *	struct path p;
 *	int err = path_open(a->path, &p);
 *
 *	if (!err && mkdirat(p.dir, p.name, mode) < 0)
 *		err = -errno;
 *	path_close(&p);
 *
 * The kernel takes at most PATH_MAX - 1 bytes at once; of what is longer, the front is opened as a
 * directory, piece by piece.  A short path costs nothing: it is `name` as it stands.
 *
 * Owner: the caller.  Thread: worker.
 */
#ifndef FS_PATH_H
#define FS_PATH_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/check.h"

struct path {
	int dir;          /* AT_FDCWD, or an O_PATH descriptor of ours */
	const char *name; /* what is left, from `dir`; borrowed from the path */
	unsigned made;    /* directories that path_open_parents made: the last ones before `name` */
};

/* 0 or -errno, such as -ENOENT for the front of a long path.  To be closed in any case. */
MUST_CHECK int path_open(const char *path, struct path *out);
void path_close(struct path *p);

/*
 * The same for the entry itself: `name`, a copy in NAME, has no slashes behind it, which would lead
 * through a link.
 */
MUST_CHECK int path_open_plain(const char *path, struct path *out, char name[PATH_MAX]);

/* PATH, which is shorter than PATH_MAX, without them. */
void path_copy_plain(const char *path, char name[PATH_MAX]);

/* The owner of what is made; NULL stands for: as it comes. */
struct path_owner {
	uid_t uid;
	gid_t gid;
};

/*
 * The same, and `name` is the last component alone (with the slashes behind it), whose directory is
 * open.  Directories on the way that are not there are made: 0755, OWNER's, or NULL.  A path that
 * ends in `/`, `.` or `..` is taken literally, as the kernel does.
 */
MUST_CHECK int path_open_parents(
	const char *path, const struct path_owner *owner, struct path *out);

/*
 * The last component, without slashes behind it: "b" of "/a/b//", "/" of "/".  Its length in LEN;
 * points into PATH.
 */
const char *path_base(const char *path, size_t *len);

#endif
