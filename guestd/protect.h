/*
 * guestd/protect.h - what keeps the agent alive and to itself
 *
 * Each protection is taken where the agent may, and says so in the log where not: none of them is a
 * reason not to start.
 *
 * Thread: main, before there are others.
 */
#ifndef GUESTD_PROTECT_H
#define GUESTD_PROTECT_H

/*
 * Runs this program again from memory that nobody can write to, in the same process and with the same
 * descriptors; then, and where it already does, returns.
 */
void protect_seal(char **argv);

/*
 * No process of the guest reads our memory through /proc, the out-of-memory killer looks for another
 * one, and our code stays in memory.  What children are to have instead: proc/spawn.c.
 */
void protect(void);

#endif
