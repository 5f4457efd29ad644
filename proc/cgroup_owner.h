/*
 * proc/cgroup_owner.h - which agent a guestd.PID belongs to, and whether that agent lives
 *
 * The name says it, but pids are used again, and who takes over the directory of a predecessor keeps
 * the name.  So an agent notes itself at it (cgfs_note): pid, start, and run-dir, because agents
 * with different ones may share a cgroup without being each other's successors.
 *
 * Thread: loop, and only at start.
 */
#ifndef PROC_CGROUP_OWNER_H
#define PROC_CGROUP_OWNER_H

#include "base/check.h"

enum cgroup_owner {
	OWNER_ALIVE,       /* or it is no directory of an agent's */
	OWNER_DEAD,        /* somebody else, or one who left no note */
	OWNER_PREDECESSOR, /* it had the same run-dir */
};

/* Of the directory NAME in OWN. */
enum cgroup_owner cgroup_owner_find(int own, const char *name, const char *run_dir);

/* Notes this agent at DIR.  0 or -errno. */
MUST_CHECK int cgroup_owner_note(int dir, const char *run_dir);

#endif
