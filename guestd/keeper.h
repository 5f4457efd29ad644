/*
 * guestd/keeper.h - pipes that somebody holds for the agent that comes next
 *
 * Who writes to a pipe without a reader is killed by SIGPIPE.  So whoever starts the agent again, the
 * keeper, holds each pipe that a process of ours writes to, too, but never reads from it: a writer waits
 * at worst until there is an agent, and what it has written is there for that one.
 *
 * A pipe is known by its inode.  The keeper gets a description of its own: one that is shared would
 * stay in our epoll set behind our close.  What it still holds lies in a table: in the keeper, where that
 * is process 1, and in an agent from its start (forked, or by a store of descriptors) to keeper_done.
 */
#ifndef GUESTD_KEEPER_H
#define GUESTD_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The way to it.  Neither waits: 0, -EAGAIN while it is full, or -errno.  FD stays the caller's. */
struct keeper {
	size_t max; /* so many pipes; at most MAX_KEPT */
	int (*keep)(uint64_t pipe, int fd);
	int (*drop)(uint64_t pipe);
};

/* The table.  One thread: process 1, or the agent's loop. */

/* Takes FD: closed where PIPE is there already, or too many are. */
void kept_add(uint64_t pipe, int fd);

/* Closes that of PIPE, if there is one. */
void kept_remove(uint64_t pipe);

/* In a process that has no part in it. */
void kept_close(void);

/* The agent.  Thread: loop. */

/* K is for good; what it holds already is in the table.  Before that, nothing is kept. */
void keeper_set(const struct keeper *k);

/* A descriptor of our own of a pipe that was held, which it still is; -1 where it was not. */
int keeper_take(uint64_t pipe);

/* True when PIPE, of which FD is the reading end, is held: then it is to be dropped once. */
bool keeper_keep(uint64_t pipe, int fd);

/* We are done with PIPE: held no longer, and where that cannot be said now, soon. */
void keeper_drop(uint64_t pipe);

/* All that are wanted were taken: the others are dropped. */
void keeper_done(void);

void keeper_stop(void);

#endif
