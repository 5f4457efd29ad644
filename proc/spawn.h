/*
 * proc/spawn.h - the one place that makes processes
 *
 * Theory of operation.  The child is vforked into our memory, which costs nothing however large the
 * agent is, but by a thread that waits for its exec in place of the loop (spawner.h).  Its exec closes
 * a CLOEXEC pipe, and that is how the loop learns of it; if something fails, the child leaves errno and
 * stage in `struct spawn` before it exits.
 *
 *	loop              a thread              child
 *	pipe, ask  ---->  vfork         ---->   setsid, descriptors, limits, ids,
 *	register,         waits                 chdir, search PATH, exec
 *	serve others                              |
 *	done()     <----------------- pipe hangs up
 *
 * Why does the loop not wait?  Between clone and exec lies everything that may block: a working
 * directory or a program on a dead network file system, or a SIGSTOP from a guest process of the
 * same user.  Any of these would stop the whole agent.
 *
 * In the child: no libc call that sets errno or takes a lock, no malloc, no log; raw system
 * calls only, and memory that was laid out before the clone.  All signals are blocked, and no
 * handler is ever installed (main.c), so none can run on the shared memory.  Nothing else but `struct
 * spawn` is written to for us to see: where all threads wait, the child has a copy of the rest.
 *
 * Thread: loop.
 */
#ifndef PROC_SPAWN_H
#define PROC_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "guestd/loop.h"
#include "guestd/users.h"

#define SPAWN_STACK 16384
#define MAX_RLIMITS 16

enum spawn_stage {
	SPAWN_NONE,
	SPAWN_STALE, /* /etc/passwd or /etc/group changed: load and try again */
	SPAWN_USER,
	SPAWN_PTY,
	SPAWN_CGROUP,
	SPAWN_RLIMIT,
	SPAWN_CHDIR,
	SPAWN_EXEC,
};

struct spawn {
	/* in: laid out by the caller, unchanged until done() */
	const char *const *candidates; /* paths to try, ends NULL */
	const char *const *argv;
	const char *const *envp;
	const char *cwd;
	bool cwd_optional; /* `/` where it cannot be entered */
	int fds[3];        /* become 0, 1, 2; the caller's, all above 2 */
	bool tty;          /* fds[0] becomes the controlling terminal */
	int cgroup;        /* a directory that it begins its life in; -1 = ours */
	struct account account;
	struct users_stamps stamps;
	struct {
		int resource;
		struct rlimit limit;
	} rlimits[MAX_RLIMITS];
	size_t n_rlimits;
	int nice; /* added to ours */
	bool no_new_privs;
	void *owner;
	/* The program runs (err 0), or it never will.  Not called from inside spawn_start. */
	void (*done)(struct spawn *spawn);

	/* out */
	int err; /* 0 or -errno */
	enum spawn_stage stage;
	bool at_root; /* its cwd could not be entered: it is in `/` */

	/* private */
	int status_fd, child_status_fd;
	bool join; /* it has to go into its cgroup by itself */
	struct ev_io io;
	char stack[SPAWN_STACK] __attribute__((aligned(16)));
};

/* Learns what a child must undo.  Before the agent raises limits of its own. */
void spawn_init(void);

/* In memory that a child shares even where the rest is a copy.  NULL: there is none; not cleared. */
struct spawn *spawn_new(void);
void spawn_free(struct spawn *s);

/* The pid, or -errno; then done() is not called. */
MUST_CHECK pid_t spawn_start(struct spawn *s);

/* The child was reaped, or does what only comes after its exec: done() now, if it was not called yet. */
void spawn_reaped(struct spawn *s);

/* "user", "chdir", ... as the protocol names it. */
const char *spawn_stage_name(enum spawn_stage stage);

#endif
