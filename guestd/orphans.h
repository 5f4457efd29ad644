/*
 * guestd/orphans.h - the ends of processes that were not ours to wait for
 *
 * What an agent before this one started is nobody's child any more when that one is gone: whoever
 * supervises us reaps it, and hands its wait status on.  Statuses of strangers come the same way.
 * One may be missing, where many processes ended while there was no agent.
 *
 * Thread: loop.
 */
#ifndef GUESTD_ORPHANS_H
#define GUESTD_ORPHANS_H

#include <stdbool.h>
#include <sys/types.h>

/* FN(PID, STATUS) as waitpid(2) has them; PID may be somebody else's by now.  NULL: nobody. */
void orphans_set_listener(void (*fn)(pid_t pid, int status));

/* There is a supervisor, whose word is worth waiting for. */
void orphans_expect(void);
bool orphans_expected(void);

/* The supervisor's word arrived. */
void orphans_ended(pid_t pid, int status);

#endif
