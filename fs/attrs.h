/*
 * fs/attrs.h - what a file has besides its contents: owner, mode, times, extended attributes, ACLs
 *
 * Thread: worker.
 */
#ifndef FS_ATTRS_H
#define FS_ATTRS_H

#include <sys/stat.h>

#include "base/check.h"

/* What a copy could not get: the file system or the rights of the user are not enough. */
#define ATTRS_LOST_OWNER  1u
#define ATTRS_LOST_MODE   2u
#define ATTRS_LOST_TIMES  4u
#define ATTRS_LOST_XATTRS 8u

/*
 * From FROM, of which ST tells, to TO: open files or directories.  UID and GID are those it shall
 * have.  0 or a set of ATTRS_LOST.
 */
unsigned attrs_copy(int from, const struct stat *st, int to, uid_t uid, gid_t gid);

/* The same for what cannot be opened: links, fifos, devices, sockets. */
unsigned attrs_copy_at(int from_dir, const char *from, const struct stat *st, int to_dir,
	const char *to, uid_t uid, gid_t gid);

/* Drops the ACLs that a new file or directory got from the one it was made in. */
void attrs_drop_acls(int fd);

#endif
