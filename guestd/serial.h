/*
 * guestd/serial.h - serial lines in the loop
 *
 * A line is one connection at a time, behind a bridge (vsock/bridge.h).  It begins with the first
 * message that comes whole; a hello begins the next one, since a line has no other sign that
 * somebody else speaks now.  Thread: loop.
 */
#ifndef GUESTD_SERIAL_H
#define GUESTD_SERIAL_H

#include "base/check.h"
#include "vsock/endpoint.h"

struct serial;

/*
 * EP is borrowed.  A line that is not there yet, is hung up or has nobody at its other end is
 * looked for again each second.  0 and *OUT for serial_close, or -errno with a sentence in WHY.
 */
MUST_CHECK int serial_open(
	const struct endpoint *ep, struct serial **out, char *why, size_t why_len);
void serial_close(struct serial *s);

#endif
