/*
 * proc/spawner.h - threads that wait for an exec, so that the loop does not
 *
 * A child that shares our memory may have an oom_score_adj of its own only as long as it is a vfork
 * child (__set_oom_adj in fs/proc/base.c), and the out-of-memory killer leaves it alone, and with it
 * us, only then (in_vfork).  Whoever vforks waits until the child executes, which may be never.  So a
 * thread does it that has nothing else to do.
 *
 * The threads never end: what a process asked for with PR_SET_PDEATHSIG comes when the thread that
 * made it ends, not the agent (prctl(2)).
 *
 * Thread: loop.
 */
#ifndef PROC_SPAWNER_H
#define PROC_SPAWNER_H

#include <stddef.h>
#include <sys/types.h>

#include "base/check.h"

/*
 * As sys_clone with CLONE_VM | CLONE_VFORK, but it returns when the child has begun.  -EAGAIN: all
 * threads wait for children of theirs, and there can be no more of them.
 */
MUST_CHECK pid_t spawner_clone(
	int cgroup, void *stack, size_t stack_len, void (*fn)(void *arg), void *arg);

#endif
