/*
 * ctl/interrupt.h - signals that are to end a call in order
 *
 * Caught between interrupt_watch and interrupt_unwatch, and heard through a descriptor.  The first
 * SIGINT, SIGTERM or SIGHUP is ours; the second ends us, in whatever we are blocked.  A terminal
 * that was set raw meanwhile is given back in both cases.
 *
 * Thread: main, once at a time (signal handlers have no context).
 */
#ifndef CTL_INTERRUPT_H
#define CTL_INTERRUPT_H

#include <stdbool.h>

#include "base/check.h"

/* From now on; with RESIZES also SIGWINCH.  SIGPIPE is ignored: writes tell.  0 or -errno. */
MUST_CHECK int interrupt_watch(bool resizes);
void interrupt_unwatch(void);

/* For poll(2): readable when there is a signal to hear. */
int interrupt_fd(void);

/* The next signal's number, or 0. */
int interrupt_hear(void);

#endif
