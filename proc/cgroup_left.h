/*
 * proc/cgroup_left.h - what cgroup.c does for cgroup_left.c: the directories of a predecessor
 *
 * Thread: loop, and only at start.
 */
#ifndef PROC_CGROUP_LEFT_H
#define PROC_CGROUP_LEFT_H

#include "proc/cgroup.h"

/* In all: what processes left behind keeps theirs, and descriptors are not without end. */
#define MAX_CGROUPS 4096

/* The directory NUMBER, which nobody holds; NULL, logged, when it cannot be opened. */
struct cgroup *cgroup_reopen(unsigned number);

#endif
