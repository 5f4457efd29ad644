/*
 * proc/cgroup_limits.h - what a cgroup may use
 *
 * Thread: loop.
 */
#ifndef PROC_CGROUP_LIMITS_H
#define PROC_CGROUP_LIMITS_H

#include "proc/cgroup.h"
#include "proc/cgroup_base.h"

/* 0, or ERR_UNSUPPORTED with F filled: B lacks a controller that L needs. */
MUST_CHECK int cgroup_limits_check(
	const struct cgroup_base *b, const struct cgroup_limits *l, struct failure *f);

/* To the cgroup whose directory is CGROUP; 0, or an error with F filled. */
MUST_CHECK int cgroup_limits_set(int cgroup, const struct cgroup_limits *l, struct failure *f);

#endif
