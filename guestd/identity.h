/* guestd/identity.h - which agent this is: told by hello, fixed at start */
#ifndef GUESTD_IDENTITY_H
#define GUESTD_IDENTITY_H

struct identity {
	char instance[33]; /* random: another one after each start of the agent */
	char boot_id[40];  /* the kernel's; "" where /proc is not there */
	/*
	 * Every process that the agent starts has a cgroup of its own in this directory; NULL: none
	 * has.
	 */
	const char *cgroups;
};

void identity_init(void);
const struct identity *identity(void);

/* An area that finds out at its start; DIR stays.  Loop thread, before a listener is open. */
void identity_set_cgroups(const char *dir);

#endif
