/*
 * proc/child.h - the one reaper
 *
 * Every child is registered in the turn that cloned it, and children are only waited for from
 * the loop: so none can be reaped before it is known.  Unknown ones are orphans that came to us
 * as PID 1 or subreaper: reaped and counted.
 *
 * A pid stays ours from the clone until exited() is called, in the same turn as its wait4: a
 * signal sent before that cannot hit a stranger.
 *
 * Thread: loop.
 */
#ifndef PROC_CHILD_H
#define PROC_CHILD_H

#include <sys/resource.h>
#include <sys/types.h>

#include "base/check.h"

struct child {
	pid_t pid;          /* 0 = none */
	struct child *next; /* in its bucket */
	/* Called once: the child is gone, its pid may be anybody's. */
	void (*exited)(struct child *child, int status, const struct rusage *usage);
	/* private: see child_watch_exit */
	void (*exiting)(struct child *child);
};

/* 0 or -errno. */
MUST_CHECK int child_start(void);

void child_register(struct child *child, pid_t pid);

/*
 * EXITING is called just before the end: CHILD is a zombie then, that holds its pid, group and
 * session.  It costs a system call for each child that ends anywhere; NULL undoes it.
 */
void child_watch_exit(struct child *child, void (*exiting)(struct child *child));

/* Nobody wants to hear of its end any more; it is reaped all the same. */
void child_forget(struct child *child);

#endif
