/* guestd/identity.h - which agent this is: told by hello, fixed at start */
#ifndef GUESTD_IDENTITY_H
#define GUESTD_IDENTITY_H

#include <stdbool.h>

struct identity {
	char instance[33]; /* random: another one after each start of the agent */
	char boot_id[40];  /* the kernel's; "" where /proc is not there */
	bool cgroups;      /* every process that the agent starts has a cgroup of its own */
};

void identity_init(void);
const struct identity *identity(void);

/* An area that finds out at its start.  Loop thread, before a listener is open. */
void identity_set_cgroups(bool there);

#endif
