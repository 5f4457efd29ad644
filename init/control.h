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

/* Room for the pipes that it keeps (guestd/keeper.h).  The agent and others get the limit of before. */
void control_make_room(void);

/*
 * A new pair, before a fork or as soon as an agent has ended: what is told until the next one is
 * there waits in it.  0 or -errno, then there is none.
 */
MUST_CHECK int control_renew(void);

/* The agent was forked: its end is no longer ours. */
void control_forked(void);

/* To poll for what the agent says; -1 when it will say no more. */
int control_fd(void);

/* What the agent said next, until it is SAID_NOTHING.  Pipes that it leaves are kept meanwhile. */
enum control_said {
	SAID_NOTHING,
	SAID_END, /* the machine is to end, as PLAN has it */
	SAID_DONE /* the clients are gone; it stays for those who write to its pipes */
};

enum control_said control_hear(struct control_plan *plan);

/* The machine ends: the agent is to say goodbye, and then that it is done.  0 or -errno. */
MUST_CHECK int control_tell_end(void);

/* PID, which is neither agent nor ours, was reaped. */
void control_tell_ended(pid_t pid, int status);

/* In a child that is not the agent: it has no part in it, and holds no pipe. */
void control_leave(void);

/* In the agent.  Thread: loop. */

/* First thing after the fork. */
void control_join(void);

/*
 * 0 or -errno; nothing to do where nobody supervises us.  ON_END is called when the machine ends;
 * ends of processes go to orphans.h.
 */
MUST_CHECK int control_start(void (*on_end)(void));
void control_stop(void);

/* Somebody forked us, and starts us again. */
bool control_is_there(void);

/* 0: the machine ends when the agent has, which is for the caller to bring about; or -errno. */
MUST_CHECK int control_ask_end(const struct control_plan *plan);

/* Is it the machine that ends, and not the agent alone? */
bool control_machine_ends(void);

/* Nobody is connected any more: whoever still runs is told to end now. */
void control_done(void);

#endif
