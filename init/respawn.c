/* init/respawn.c - when to start again what has ended */
#include "init/respawn.h"

#include "base/check.h"

#define FIRST_WAIT_US 100000

void respawn_started(struct respawn *r, pid_t pid, uint64_t now_us)
{
	r->pid = pid;
	r->since_us = now_us;
}

uint64_t respawn_ended(struct respawn *r, uint64_t now_us)
{
	uint64_t wait;

	if (r->pid && now_us - r->since_us >= r->calm_us)
		r->wait_us = 0;
	wait = r->wait_us;
	r->wait_us = wait ? MIN(2 * wait, r->longest_us) : FIRST_WAIT_US;
	r->due_us = now_us + wait;
	r->pid = 0;
	return wait;
}
