/*
 * proc/tree.h - a process and all that came of it, held so that no signal goes astray
 *
 * Found by walking /proc: the descendants, and whoever is in the leader's session or group.
 * Each is held by a pidfd from then on, so a signal never reaches a recycled pid, and an orphan
 * stays known after its parents are gone.  What escapes: a process that left session and group
 * and was orphaned before the first look.
 *
 * Thread: loop.  Needs Linux 5.3; before, a tree holds nobody and the group has to do.
 */
#ifndef PROC_TREE_H
#define PROC_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tree_member {
	pid_t pid;
	int fd;        /* pidfd */
	bool in_group; /* of the leader: reached by a signal to the group */
};

struct tree {
	struct tree_member *at;
	size_t n, cap;
};

/*
 * Adds who is new.  LEADER is a child of ours that was not reaped, or 0; then only the
 * descendants of members are looked for.
 */
void tree_update(struct tree *t, pid_t leader);

/*
 * What stands in /proc/PID/stat; false when there is no such process.  STARTED, in clock ticks
 * after boot, makes an identity of the pid.
 */
struct tree_stat {
	pid_t pid, ppid, pgrp, session;
	unsigned long long started;
};
bool tree_stat(pid_t pid, struct tree_stat *out);

/* Holds PID, if FITS still says so of it once it is held. */
void tree_add(
	struct tree *t, pid_t pid, pid_t leader, bool (*fits)(pid_t pid, void *ctx), void *ctx);

/* The same with all that are in the group PGRP. */
void tree_add_group(struct tree *t, pid_t pgrp, bool (*fits)(pid_t pid, void *ctx), void *ctx);

/* Drops the dead; how many are left. */
size_t tree_prune(struct tree *t);

/* How many got it.  GROUP_TOO: also those who are in the leader's group. */
size_t tree_signal(const struct tree *t, int number, bool group_too);
void tree_fini(struct tree *t);

#endif
