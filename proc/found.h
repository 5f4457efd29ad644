/*
 * proc/found.h - processes that a predecessor of this agent had started
 *
 * An agent that was killed or restarted finds them by their cgroups (cgroup_each_left), and who they
 * are by what was noted there (record.h).  They are processes of the table like any other, but for this:
 *
 *	not a child     a pidfd tells of the end; how it was is told by PID 1, where that is ours, or
 *	                by the kernel (Linux 6.15), or by nobody: exit.unknown
 *	output          the pipes were held by who starts us again (keep.h), with what was written meanwhile;
 *	                else they are opened anew through /proc/PID/fd, as long as somebody in the cgroup
 *	                has them.  What was read from them before is gone, offsets start at 0
 *	input           opened anew, unless it had been ended
 *	a terminal      has gone with the agent that held its other side
 *	artifacts       nobody looks for them
 *
 * Thread: loop.
 */
#ifndef PROC_FOUND_H
#define PROC_FOUND_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/check.h"
#include "guestd/loop.h"
#include "proc/child.h"

struct process;

/* What a found process has besides. */
struct found {
	struct process *process;
	int pidfd; /* -1: its leader is gone */
	struct ev_io io;
	struct ev_timer patience;
	ev_tstamp until; /* when it is given up that somebody knows how it ended */
	/* What the table wants to be told: child.exited of any other process. */
	void (*exited)(struct child *child, int status, const struct rusage *usage);
};

/* Once, before the listeners open. */
void found_start(void);

/* Nobody else has its number: not for the next moments, in which a signal can be sent. */
bool found_is_alive(const struct found *f);

void found_free(struct found *f);

#endif
