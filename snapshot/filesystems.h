/*
 * snapshot/filesystems.h - file systems that take no writes for a while (FIFREEZE)
 *
 * Owner: the caller.  Thread: any; may block.
 */
#ifndef SNAPSHOT_FILESYSTEMS_H
#define SNAPSHOT_FILESYSTEMS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"
#include "proto/err.h"

/* Disks of a guest; a machine with more is no guest of ours. */
#define MAX_FROZEN 64

struct frozen_fs {
	char *path;
	int fd; /* open from before: later its path may lead into something that hangs */
};

struct filesystems {
	struct frozen_fs at[MAX_FROZEN];
	size_t n;
};

/*
 * Writes everything out and freezes each file system that lies on a disk and can be written, the
 * last mounted first.  0; or an error in F, and none is frozen.
 */
MUST_CHECK int filesystems_freeze(struct filesystems *list, struct failure *f);

/* Idempotent. */
void filesystems_thaw(struct filesystems *list);

/* Has an agent that was killed left frozen ones behind?  And thaws those. */
bool filesystems_are_left(void);
void filesystems_thaw_left(void);

#endif
