/*
 * proc/cgroup.h - a cgroup v2 for each process, where it can be had
 *
 *	OWN ------------------- the cgroup that the agent was started in; with a service manager that puts it
 *	|                       into a cgroup guestd.agent, the one above
 *	|-- guestd.PID.agent    the agent, moved there so that OWN may have controllers
 *	`-- guestd.PID          memory, pids and cpu, as far as OWN has them
 *	    |-- 1               a process and all that it started
 *	    `-- 2
 *
 * A cgroup without limits is used again when it is empty: making one costs more than an exec.
 *
 * An agent that finds the guestd.PID of a dead one with the same run-dir goes on with it, under its
 * old name, and with the processes that live in it (found.c).
 *
 * Where there is only cgroup v1, or OWN cannot be written to, there are none: cgroup_new gives
 * NULL and process trees are found in other ways (tree.h).
 *
 *	cgroup.c         whose each is, the spare ones, what the kernel tells of them
 *	cgroup_base.c    where OWN is, and what can be had there
 *	cgroup_owner.c   whose a guestd.PID is
 *	cgroup_left.c    what a predecessor left in it
 *	cgroup_limits.c  memory, cpu, pids
 *	cgfs.c           reading, writing and removing
 *
 * Thread: loop.
 */
#ifndef PROC_CGROUP_H
#define PROC_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/check.h"
#include "proto/err.h"

struct cgroup_limits {
	uint64_t memory;       /* bytes; 0 = none, as below */
	uint64_t cpu_ms_per_s; /* of one processor; 2000 = two of them */
	uint64_t pids;
};

struct cgroup;

/* Whoever holds a cgroup. */
struct cgroup_ops {
	/* Its last process is gone.  Told once after each cgroup_watch; may release it. */
	void (*emptied)(void *owner);
	/*
	 * The kernel killed in it for want of memory; N times since cgroup_new, which is more than
	 * was told before.  The kernel is slow to say so: the first to find out may be
	 * cgroup_oom_kills or cgroup_release, which then call this.  It must not release it.
	 */
	void (*oom)(void *owner, uint64_t n);
};

/* Makes OWN/guestd.PID.  Never fails: what is not there is logged, and is not used. */
void cgroup_start(void);

/* Ends in order: what is empty is removed.  Of those still held only cgroup_release is of use. */
void cgroup_stop(void);

/* The directory of guestd.PID; NULL where there are no cgroups. */
const char *cgroup_dir(void);

/* The directory of guestd.PID, in which all of them are; -1: there are none.  Thread: any. */
int cgroup_all(void);

/*
 * An empty cgroup.  NULL with f->err 0 where none can be had and no limit was asked for; NULL with F
 * filled (ERR_UNSUPPORTED, naming the controller; or an errno; stage "cgroup") otherwise.
 */
struct cgroup *cgroup_new(const struct cgroup_limits *limits, const struct cgroup_ops *ops,
	void *owner, struct failure *f);

/*
 * Leaves BYTES of at most CGROUP_NOTE_MAX at it for whoever comes after this agent, instead of what was
 * noted before; cgroup_release takes them away.  Where that cannot be, nothing happens.
 */
#define CGROUP_NOTE_MAX 8192u
void cgroup_note(struct cgroup *cg, const char *bytes, size_t len);

/*
 * Once, at start: calls FOUND with each cgroup in which the predecessor started a process, if something
 * lives in it or there is a note (NULL: none).  Where FOUND does not say that it holds it, it stays as it
 * is until it is empty.  How many there were.
 */
size_t cgroup_each_left(bool (*found)(struct cgroup *cg, const char *note, size_t len));

/* From inside FOUND: CG is OWNER's, as one of cgroup_new is. */
void cgroup_hold(struct cgroup *cg, const struct cgroup_ops *ops, void *owner);

/*
 * The owner needs it no more, and hears of it no more.  An empty one is used again or removed; one
 * in which something lives on stays until that is gone.  NULL is fine.
 */
void cgroup_release(struct cgroup *cg);

/* Its directory, for CLONE_INTO_CGROUP. */
int cgroup_fd(const struct cgroup *cg);

/* Does anything live in it, or below it? */
bool cgroup_populated(const struct cgroup *cg);

/* ops->emptied from now on; at once, but in a later turn, if it is empty now. */
void cgroup_watch(struct cgroup *cg);

/* Times that the kernel killed in it for want of memory, since cgroup_new; asks the kernel. */
uint64_t cgroup_oom_kills(struct cgroup *cg);

/*
 * KILL to all that is in it and below it.  Before Linux 5.14 some that they fork meanwhile may be
 * missed: call it again until it is empty.
 */
void cgroup_kill(struct cgroup *cg);

/* Calls FN with each process in it and below it, until FN returns false. */
void cgroup_each_pid(const struct cgroup *cg, bool (*fn)(pid_t pid, void *ctx), void *ctx);

/* Whose cgroup PID is in, or below: the owner that cgroup_new was given, or NULL. */
void *cgroup_owner_of(pid_t pid);

#endif
