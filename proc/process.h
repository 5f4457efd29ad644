/*
 * proc/process.h - a process that the agent started, and those who follow it
 *
 *	WAITING ----> SPAWNING ----> RUNNING ----> EXITED ----> ENDED
 *	 users         clone, exec    output        200 ms at most for the rest of its output
 *
 * Output is read from the start into a ring for each stream, whether or not anybody follows.
 * A follower reads from the rings at its own position; the slowest one holds the process back
 * like any full pipe.  With nobody following, the oldest bytes are overwritten.
 *
 * Exit and end of output are two facts: a grandchild may hold the pipe long after the process
 * is gone.  ENDED is when both are known, or the exit alone for 200 ms.
 *
 * Owner: the table.  One that has ended and whose output nobody holds any more is remembered,
 * with what its rings kept, until MAX_EXITED or EXITED_BYTES_MAX of them push it out.
 * Thread: loop.
 */
#ifndef PROC_PROCESS_H
#define PROC_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "guestd/loop.h"
#include "guestd/pump.h"
#include "proc/child.h"
#include "proc/exit.h"
#include "proc/spawn.h"
#include "proc/spec.h"
#include "proc/tree.h"
#include "proto/err.h"

enum process_state {
	PROCESS_WAITING,
	PROCESS_SPAWNING,
	PROCESS_RUNNING,
	PROCESS_EXITED,
	PROCESS_ENDED,
};

struct follower;

struct follower_ops {
	/* Its program runs. */
	void (*started)(struct follower *f);
	/* It never will; F is detached. */
	void (*failed)(struct follower *f, const struct failure *failure);
	/* There is more in a ring, or a stream is at its end. */
	void (*output)(struct follower *f);
	/* process->exit is final.  F may detach itself. */
	void (*ended)(struct follower *f);
	/* process_stop is done: nothing of it is alive.  F may detach itself. */
	void (*stopped)(struct follower *f);
	/* LEN bytes of its input are gone.  NULL: it sends none. */
	void (*consumed)(struct follower *f, size_t len);
};

struct follower {
	struct list link; /* process.followers */
	struct process *process;
	const struct follower_ops *ops;
	uint64_t position[2]; /* the next byte of stdout and stderr */
	size_t input_pending; /* sent and not consumed */
};

struct stream {
	struct source source;
	struct process *process;
	uint64_t taken;    /* the furthest that any follower came */
	uint64_t was_tail; /* of the ring, when we looked last */
	uint64_t dropped;  /* overwritten before anybody took it */
	uint64_t end; /* EXITED: the process itself wrote up to here; ENDED: the record's end */
};

/* [0] reads, [1] writes; the agent's ends until the program runs. */
struct process_pipes {
	int in[2], out[2], err[2];
};

struct process {
	char id[132]; /* the client's, or made up */
	const struct spec *spec;
	enum process_state state;
	pid_t pid;
	struct stream out[2];
	struct exit_record exit; /* final when ENDED */

	/* private */
	struct list link;        /* processes.all */
	struct list exited_link; /* processes.exited, once remembered */
	size_t exited_bytes;
	struct list followers;
	struct arena *params; /* holds spec */
	struct child child;
	struct spawn *spawn; /* while SPAWNING */
	struct arena *spawn_arena;
	struct users_wait users;
	unsigned attempts;
	struct process_pipes pipes;
	struct sink in;
	uint64_t started_mono_us;
	struct ev_timer timeout, grace, drain, check;
	bool stopping, killing, stopped;
	struct tree tree; /* who else has to go: while stopping, or left behind by the leader */
	struct grave grave;
	bool buried;
};

/*
 * A process for SPEC, which lies in PARAMS (consumed).  NULL, with F filled, when a limit is
 * reached.  Follow it, then start it.
 */
struct process *process_new(struct arena *params, const struct spec *spec, struct failure *f);

/* Its followers hear of all that comes of it, a failure included. */
void process_start(struct process *p);

/* NULL where none has that id. */
struct process *process_find(const char *id);

/* F follows P from the oldest byte that is kept. */
void process_follow(struct process *p, struct follower *f, const struct follower_ops *ops);
void process_unfollow(struct follower *f);

/* The next bytes of stream I (0 or 1) at F's position; 0 = none now. */
size_t follower_peek(const struct follower *f, unsigned i, const char **bytes);
void follower_advance(struct follower *f, unsigned i, size_t len);

/* F wants no more output: it holds nothing back from now on. */
void follower_skip(struct follower *f);

/* F has had all of stream I that there will be, or that the exit record speaks of. */
bool follower_at_end(const struct follower *f, unsigned i);

/* Bytes for stdin.  0, or -EPIPE when it takes none. */
int follower_input(struct follower *f, const char *bytes, size_t len);
void process_input_end(struct process *p);

/*
 * TERM to it and all that came of it, KILL to what is left after the grace of its spec; then
 * followers hear stopped().  Not of one that has ENDED.  Idempotent.
 */
void process_stop(struct process *p);

/* All rings and captures. */
struct ring_budget *process_budget(void);

#endif
