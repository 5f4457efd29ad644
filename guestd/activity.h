/*
 * guestd/activity.h - what the guest does for its host, for system.activity
 *
 * Counted are calls, the data in them, processes and tunnels; not counted are methods that say
 * `quiet` (method.h), keepalives and connections: who only looks does not keep a guest awake.
 *
 * Thread: loop.
 */
#ifndef GUESTD_ACTIVITY_H
#define GUESTD_ACTIVITY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/limits.h"

struct activity {
	uint64_t last_us; /* CLOCK_REALTIME of the last that was counted; the start of the agent */
	uint64_t net_bytes; /* through tunnels, both ways */
	size_t calls;       /* open, the quiet ones not counted */
};

void activity_init(void);
const struct activity *activity(void);

/* Something happened. */
void activity_touch(void);

/* LEN bytes went through a tunnel into the guest's network, or out of it. */
void activity_tunnel(uint64_t len);

/* For req.c: one more call is open, or one less. */
void activity_call_begins(void);
void activity_call_ends(void);

/* The processes that the agent started and that have not exited. */
struct activity_processes {
	uint64_t ended_us; /* CPU time of those that have */
	size_t n;
	pid_t pids[MAX_PROCESSES];
};

/* Who has processes says how to list them; at its start. */
void activity_set_lister(void (*list)(struct activity_processes *out));

/* None where nobody has said so. */
void activity_list(struct activity_processes *out);

#endif
