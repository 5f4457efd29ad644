/*
 * fs/entry.h - a file as the wire tells of it: Entry, PROTOCOL section 7
 *
 *	{path, name, type, size, mode, uid, gid, user?, group?, mtime_us, ctime_us, ino, nlink, target?}
 *
 * Thread: worker.
 */
#ifndef FS_ENTRY_H
#define FS_ENTRY_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "guestd/users.h"
#include "proto/enc.h"

struct entry {
	struct stat st;
	bool has_target;
	char target[PATH_MAX];
};

/* The names of users and groups, as the guest's files have them. */
struct entry_names {
	const struct users *users;
	/* The last that were asked for: neighbours mostly belong to the same. */
	uid_t uid;
	gid_t gid;
	const char *user, *group; /* NULL: it has none */
};

void entry_names_begin(struct entry_names *names);
void entry_names_end(struct entry_names *names);

/* Looks at NAME in DIR: the link itself, or with FOLLOW where it leads.  0 or -errno. */
MUST_CHECK int entry_read(int dir, const char *name, bool follow, struct entry *out);

/* PATH is what it is called; DEPTH goes along unless it is 0.  How many pairs the map has. */
size_t entry_encode(const struct entry *entry, const char *path, size_t depth,
	struct entry_names *names, struct enc *e);

/* "file", "dir", ...: of st_mode.  Static. */
const char *entry_type(mode_t mode);

/* The names of all types, for ARG_CHOICE, and which of them MODE is. */
extern const char *const entry_types[];
unsigned entry_type_index(mode_t mode);

/* Microseconds since the epoch; what no JavaScript number would hold is cut. */
int64_t entry_time_us(const struct timespec *t);

#endif
