/* guestd/identity.h - which agent this is: told by hello */
#ifndef GUESTD_IDENTITY_H
#define GUESTD_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

struct identity {
	char instance[33]; /* random: another one after each start of the agent */
	char boot_id[40];  /* the kernel's; "" where /proc is not there */
	uint64_t epoch;    /* how often the guest was resumed */
	bool cgroups;      /* every process that the agent starts has a cgroup of its own */
};

void identity_init(void);
const struct identity *identity(void);

/* system.resumed.  Loop thread. */
void identity_next_epoch(void);

/* An area that finds out at its start.  Loop thread, before a listener is open. */
void identity_set_cgroups(bool there);

#endif
