/*
 * proc/inbox.h - events from inside the guest: datagrams `TYPE\nBYTES` of our processes
 *
 * The guest is not trusted: a datagram of a process that is not ours, or that is no event, is
 * dropped and logged; whoever sends fast waits for us, not we for it.
 *
 * Thread: loop.
 */
#ifndef PROC_INBOX_H
#define PROC_INBOX_H

/* Opens RUN_DIR/events.sock.  Where it cannot, that is logged and inbox_path is NULL. */
void inbox_start(void);
void inbox_stop(void);

/* What processes find in GUESTD_EVENTS; NULL = there is none. */
const char *inbox_path(void);

/* Takes what has come by now, without waiting for the loop to say so. */
void inbox_poll(void);

#endif
