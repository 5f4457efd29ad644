/* guestd/identity.h - which agent this is: told by hello */
#ifndef GUESTD_IDENTITY_H
#define GUESTD_IDENTITY_H

#include <stdint.h>

struct identity {
	char instance[33]; /* random: another one after each start of the agent */
	char tag[9];       /* in ids that the agent makes up: another one in each clone */
	char boot_id[40];  /* the kernel's; "" where /proc is not there */
	uint64_t epoch;    /* how often the guest was resumed */
	/*
	 * Every process that the agent starts has a cgroup of its own in this directory; NULL: none
	 * has.
	 */
	const char *cgroups;
	const char *console; /* the tty of the debug shell; NULL: there is none */
};

void identity_init(void);
const struct identity *identity(void);

/* system.resumed.  Loop thread. */
void identity_next_epoch(void);

/* An area that finds out at its start; DIR stays.  Loop thread, before a listener is open. */
void identity_set_cgroups(const char *dir);
void identity_set_console(const char *tty);

#endif
