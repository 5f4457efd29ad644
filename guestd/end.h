/*
 * guestd/end.h - the end of the agent
 *
 * Thread: loop.
 */
#ifndef GUESTD_END_H
#define GUESTD_END_H

/*
 * No more connections; those that are there are told WHY and get a moment to take it, then the loop
 * ends.  As PID 1, what ends then is the machine.  Idempotent.
 */
void agent_end(const char *why);

#endif
