/*
 * proc/process.h - a process that the agent started, and those who follow it
 *
 *	WAITING ----> SPAWNING ----> RUNNING ----> EXITED ----> ENDED
 *	 users         clone, exec    output        200 ms at most for the rest of its output
 *
 * Output is read from the start into a ring for each stream, whether or not anybody follows.
 * A follower reads from the rings at its own position; the slowest one holds the process back
 * like any full pipe, but not for ever: see stall_s.  With nobody following, the oldest bytes
 * are overwritten.
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
#include "guestd/conn.h"
#include "guestd/pump.h"
#include "proc/child.h"
#include "proc/exit.h"
#include "proc/order.h"
#include "proc/spawn.h"
#include "proc/spec.h"
#include "proc/terminal.h"
#include "proc/tree.h"
#include "proto/err.h"

enum process_state {
	PROCESS_WAITING,
	PROCESS_SPAWNING,
	PROCESS_RUNNING,
	PROCESS_EXITED,
	PROCESS_ENDED,
};

struct cgroup;
struct follower;
struct found;

/* Each may be NULL. */
struct follower_ops {
	/* Its program runs. */
	void (*started)(struct follower *f);
	/* It never will; F is detached. */
	void (*failed)(struct follower *f, const struct failure *failure);
	/* There is more in a ring, or a stream is at its end. */
	void (*output)(struct follower *f);
	/* Bytes of stream I that it had not taken are gone: its position is behind them now. */
	void (*gap)(struct follower *f, unsigned i, uint64_t lost);
	/* process->exit is final.  F may detach itself. */
	void (*ended)(struct follower *f);
	/*
	 * How it ended is known for 200 ms, but not what it wrote: somebody who reads slowly
	 * holds that up.  Told again and again.  F may detach itself.
	 */
	void (*held)(struct follower *f);
	/* process_stop is done: nothing of it is alive.  F may detach itself. */
	void (*stopped)(struct follower *f);
	/* LEN bytes of its input are gone, or 0: some of another follower's. */
	void (*consumed)(struct follower *f, size_t len);
};

struct follower {
	struct list link; /* process.followers */
	struct process *process;
	const struct follower_ops *ops;
	bool attached;        /* it stands for a client that wants the process to live */
	uint64_t position[2]; /* the next byte of stdout and stderr */
	uint64_t until[2];    /* and where it wants no more */
	/*
	 * One that takes nothing for that long, while the process waits for it, holds nothing
	 * back any more, and may find a gap when it comes back.
	 */
	ev_tstamp stall_s;
	ev_tstamp taken_at; /* when it took something, or had something to take after a pause */
	bool stalled;
	size_t input_pending; /* sent and not consumed */
	uint64_t input_end;   /* process.in: where its last byte of input stands */
};

struct stream {
	struct source source;
	struct process *process;
	uint64_t taken;    /* the furthest that any follower came */
	uint64_t was_tail; /* of the ring, when we looked last */
	uint64_t was_head;
	uint64_t dropped; /* overwritten before anybody took it */
	uint64_t end;     /* EXITED: the process itself wrote up to here; ENDED: the record's end */
	uint64_t kept; /* the pipe's inode, while it is kept for another agent (keep.h); else 0 */
};

/* [0] reads, [1] writes; the agent's ends until the program runs. */
struct process_pipes {
	int in[2], out[2], err[2];
};

struct process {
	char id[132];    /* the client's, or made up */
	uint64_t number; /* of all that were ever made */
	const struct spec *spec;
	enum process_state state;
	pid_t pid;
	struct stream out[2];
	struct exit_record exit; /* final when ENDED; process_exit() has more */
	struct order order;      /* in which its output came */
	struct terminal tty;     /* master -1; slave -1 = none, or its leader is gone */
	/* From RUNNING on. */
	char *user, *cwd, *shell; /* by name; where it was started; what its user has */
	struct found *found;      /* a predecessor started it; NULL: this agent did */

	/* private */
	struct list link;              /* processes.all */
	struct list id_link, pid_link; /* processes.by_id, .by_pid: buckets */
	struct list exited_link;       /* processes.exited, once remembered */
	size_t exited_bytes;
	struct list followers;
	struct arena *params; /* holds spec */
	struct child child;
	struct spawn *spawn; /* while SPAWNING */
	struct arena *spawn_arena;
	struct users_wait users;
	unsigned attempts;
	struct process_pipes pipes;
	struct account *account; /* where there are artifacts to be looked for */
	struct artifacts *artifacts;
	struct cgroup *cgroup; /* as long as something may live in it */
	struct sink in;
	char last_input; /* a terminal's end of input depends on it */
	uint64_t started_mono_us;
	struct {
		uint64_t cloned_us[2]; /* since boot: between these */
		bool argv_truncated;   /* of a found one: so it was noted */
		bool noted;
	} birth; /* record.h */
	struct list record_link;
	struct ev_timer timeout, grace, drain, check, stall;
	bool stopping, killing, stopped;
	ev_tstamp kill_at; /* when stopping becomes killing */
	struct tree tree;  /* who else has to go: while stopping, or left behind by the leader */
	struct conn_watch
		starter; /* the connection that started it, where it is to die with that */
	struct grave grave;
	bool removed, buried;
};

/* Is the exit known? */
static inline bool process_has_exited(const struct process *p)
{
	return p->state >= PROCESS_EXITED;
}

/*
 * A process for SPEC, which lies in PARAMS (consumed).  NULL, with F filled, when a limit is
 * reached.  Follow it, then start it.
 */
struct process *process_new(struct arena *params, const struct spec *spec, struct failure *f);

/* on_disconnect: STARTER is the connection that it may have to die with. */
void process_set_starter(struct process *p, struct conn *starter);

/* Somebody left: is there anybody whom it lives for? */
void process_check_wanted(struct process *p);

/* Its followers hear of all that comes of it, a failure included. */
void process_start(struct process *p);

/* NULL where none has that id; that pid; that label.  A running one, else the newest. */
struct process *process_find(const char *id);
struct process *process_find_pid(pid_t pid);
struct process *process_find_label(const char *label);

/* PID is its child's from now on. */
void process_set_pid(struct process *p, pid_t pid);

/* Whom PID is or came of, as long as that can be told; else NULL. */
struct process *process_of(pid_t pid);

/* Calls FN of all, the oldest first; FN may remove the one it is given. */
void process_each(void (*fn)(struct process *p, void *ctx), void *ctx);

/* Forgets one that has ended. */
void process_remove(struct process *p);

/* How it ended, with what came since then. */
struct exit_record process_exit(const struct process *p);

/* F follows P from the oldest byte that is kept. */
void process_follow(struct process *p, struct follower *f, const struct follower_ops *ops);
void process_unfollow(struct follower *f);

/*
 * F holds the process back for so long without taking anything, and no longer; 0 = never.
 * Before that, 30 s.
 */
void follower_set_stall(struct follower *f, ev_tstamp seconds);

/* The next bytes of stream I (0 or 1) at F's position; 0 = none now.  May tell of a gap first. */
size_t follower_peek(struct follower *f, unsigned i, const char **bytes);
bool follower_has_more(const struct follower *f);
uint64_t follower_unread(const struct follower *f); /* of both streams */
void follower_advance(struct follower *f, unsigned i, size_t len);

/* F wants no more output: it holds nothing back from now on. */
void follower_skip(struct follower *f);

/* F has had all of stream I that there will be, or that it wants. */
bool follower_at_end(const struct follower *f, unsigned i);

/* Bytes for stdin.  0; -EPIPE when it takes none; -ENOBUFS when too much waits already. */
int follower_input(struct follower *f, const char *bytes, size_t len);

/* No more input.  A terminal is not closed by that: its end of file is typed. */
void process_input_end(struct process *p);

/* All that F sent is gone. */
bool follower_input_done(const struct follower *f);

/*
 * Signal NUMBER to it and all that came of it, KILL to what is left after GRACE_MS; then
 * followers hear stopped().  Again: another signal, and the sooner end of the two.
 */
void process_stop(struct process *p, int number, uint64_t grace_ms);

/* Does anything of it live, as far as can be told? */
bool process_is_alive(struct process *p);

/* Signals.  How many processes got it. */
enum signal_scope { SCOPE_LEADER, SCOPE_GROUP, SCOPE_TREE };
size_t process_signal(struct process *p, int number, enum signal_scope scope);

/* All rings and captures. */
struct ring_budget *process_budget(void);

#endif
