/*
 * snapshot/freezer.h - everything stands still for a snapshot, and goes on again
 *
 *	THAWED -> FREEZING -> FROZEN -> THAWING -> THAWED
 *
 * A thread of its own does all of it, from the first step to the last: it waits for no worker and
 * not for the loop, so that the guest thaws after the time that was given whatever else has come to
 * a stop.
 *
 * Thread: loop, where nothing else is said.
 */
#ifndef SNAPSHOT_FREEZER_H
#define SNAPSHOT_FREEZER_H

#include <stdbool.h>
#include <stdint.h>

struct req;

struct freeze_plan {
	bool processes, filesystems;
	uint64_t timeout_ms;
};

/* Freezes, and answers REQ, which is a plain call so far. */
void freezer_freeze(struct req *req, const struct freeze_plan *plan);

/* Thaws, if there is something to thaw, and answers REQ, if it is not NULL. */
void freezer_thaw(struct req *req);

/* The file systems alone, at once.  Thread: any; may block. */
void freezer_thaw_filesystems(void);

#endif
