/*
 * guestd/audit.h - a line for each call that changes something: what, and on which connection
 *
 *	fs.write conn=3 call=7 path=/etc/motd
 *
 * Told are names: paths, ids, users, names of variables.  Never told are values and contents.
 *
 * Thread: loop.
 */
#ifndef GUESTD_AUDIT_H
#define GUESTD_AUDIT_H

struct req;

/* REQ, whose parameters are decoded, begins.  Into the ring of system.log alone. */
void audit(const struct req *req);

#endif
