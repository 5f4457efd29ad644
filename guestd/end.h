/*
 * guestd/end.h - whose end is whose: the agent's, and the guest's
 */
#ifndef GUESTD_END_H
#define GUESTD_END_H

#include <stdbool.h>

/*
 * No more connections; those that are there are told WHY and get a moment to take it, then the loop
 * ends.  Idempotent.  Thread: loop.
 */
void agent_end(const char *why);

/*
 * Is guestd this guest's init?  True in process 1 and in the agent that it forked; false beside
 * another init, also one that process 1 has become.  Thread: any.
 */
bool agent_is_init(void);

/* Another init takes process 1 over.  Before the agent is forked. */
void agent_hand_over(void);

#endif
