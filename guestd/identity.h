/* guestd/identity.h - which agent this is: told by hello, fixed at start */
#ifndef GUESTD_IDENTITY_H
#define GUESTD_IDENTITY_H

struct identity {
	char instance[33]; /* random: another one after each start of the agent */
	char boot_id[40];  /* the kernel's; "" where /proc is not there */
};

void identity_init(void);
const struct identity *identity(void);

#endif
