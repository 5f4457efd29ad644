/*
 * proc/process_impl.h - what the files of a process know of each other
 *
 *	process.c   the table, output, the end
 *	launch.c    from a description to a running program
 *	terminate.c timeouts, TERM, KILL
 *	follow.c    positions of those who read
 *	found.c     those that another agent had started
 */
#ifndef PROC_PROCESS_IMPL_H
#define PROC_PROCESS_IMPL_H

#include "proc/process.h"

/* Calls FN of every follower; it may detach itself, and no other. */
#define EACH_FOLLOWER(p, f, fn, ...)                                                               \
	list_each_safe(f##_link, &(p)->followers) {                                                \
		struct follower *f = CONTAINER_OF(f##_link, struct follower, link);                \
		if (f->ops->fn)                                                                    \
			f->ops->fn(f, ##__VA_ARGS__);                                              \
	}

/* process.c: it never ran; its followers are told, and it is forgotten. */
void process_fail(struct process *p, const struct failure *failure);

/* Has it ended, now that something about it changed? */
void process_check_ended(struct process *p);

/* Remembers it, once nothing can come of it any more. */
void process_settle(struct process *p);

/* process.c: nothing lives in its cgroup any more. */
void process_leave_cgroup(struct process *p);

/* launch.c */
int launch_start(void); /* once; 0 or -errno */
void launch_init(struct process *p);
void launch_close_pipes(struct process_pipes *t);
void launch_free_spawn(struct process *p); /* its child has executed, or is dead */
void launch_give_up(struct process *p);    /* stopped before there was a child */
void launch_hold_cgroup(struct process *p, struct cgroup *cg); /* in which it was found */

/* terminate.c */
void stop_init(struct process *p);
void stop_fini(struct process *p);
void stop_arm_timeout(struct process *p);
void stop_check(struct process *p); /* is it stopped, now that something about it changed? */
void stop_note_leftovers(struct process *p); /* its leader is gone: who else is there? */

/* follow.c */
void stall_init(struct process *p);
void stall_full(struct source *s);    /* a follower holds the process back */
void stall_output(struct process *p); /* there is something to take */

#endif
