/*
 * init/control.h - what process 1 and the agent have to say to each other
 *
 * A pair of sockets that each agent gets anew.  Nothing here waits: who does not read misses what
 * does not fit any more.
 */
#ifndef INIT_CONTROL_H
#define INIT_CONTROL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/check.h"
#include "init/end.h"

struct control_plan {
	enum end_mode mode;
	uint64_t grace_ms;
};

/* In process 1, or who supervises in its place: it has one thread. */

/*
 * A new pair, before a fork or as soon as an agent has ended: what is told until the next one is
 * there waits in it.  0 or -errno, then there is none.
 */
MUST_CHECK int control_renew(void);

/* The agent was forked: its end is no longer ours. */
void control_forked(void);

/* To poll for what the agent says; -1 when it will say no more. */
int control_fd(void);

/* Did the agent ask for the end of the machine? */
bool control_asked(struct control_plan *plan);

/* PID, which is neither agent nor ours, was reaped. */
void control_tell_ended(pid_t pid, int status);

/* In a child that is not the agent: it has no part in it. */
void control_leave(void);

/* In the agent.  Thread: loop. */

/* First thing after the fork. */
void control_join(void);

/* 0 or -errno; nothing to do where nobody supervises us. */
MUST_CHECK int control_start(void);
void control_stop(void);

/* Somebody forked us, and starts us again. */
bool control_is_there(void);

/* 0: the machine ends when the agent has; or -errno. */
MUST_CHECK int control_ask_end(const struct control_plan *plan);

#endif
