/*
 * init/respawn.h - when to start again what has ended
 *
 * At once the first time, then ever later, until one has lived for a while.
 */
#ifndef INIT_RESPAWN_H
#define INIT_RESPAWN_H

#include <stdint.h>
#include <sys/types.h>

struct respawn {
	uint64_t calm_us;    /* who lived that long owes nothing to those before */
	uint64_t longest_us; /* no wait is longer */
	pid_t pid;           /* 0: does not run */
	uint64_t since_us;   /* when it was started */
	uint64_t due_us;     /* when to start it; UINT64_MAX: never again */
	uint64_t wait_us;    /* before the start after the next end */
};

void respawn_started(struct respawn *r, pid_t pid, uint64_t now_us);

/* It has ended, or could not be started: DUE_US is set.  What it is to wait for, in us. */
uint64_t respawn_ended(struct respawn *r, uint64_t now_us);

#endif
