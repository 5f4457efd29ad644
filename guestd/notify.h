/*
 * guestd/notify.h - what the service manager that started the agent is told, as sd_notify(3) has it
 *
 * systemd and its like leave a datagram socket in NOTIFY_SOCKET and wait for lines `NAME=VALUE`.
 * Where there is none, nothing here does anything.  The watchdog is the one timer of an idle
 * agent, and there only where the manager asked for it.
 *
 * Thread: loop.
 */
#ifndef GUESTD_NOTIFY_H
#define GUESTD_NOTIFY_H

#include "base/check.h"

/* Takes the socket and the watchdog's time out of the environment. */
void notify_init(void);

/* Lines, with FD unless that is -1; does not wait.  0 or -errno: -EAGAIN while the queue is full. */
MUST_CHECK int notify_send(const char *text, int fd);

/*
 * Listeners are open: READY=1, with STATUS, and the watchdog begins.  Waits for a manager whose queue
 * is full, 5 s at most, since it would take the agent for dead without this message.
 */
void notify_ready(const char *status);

/* The sentence that `systemctl status` shows. */
void notify_status(const char *status);

/* The agent is ending. */
void notify_stopping(void);

#endif
