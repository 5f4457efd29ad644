/*
 * guestd/listener.h - the listening sockets of the daemon in its loop
 *
 * A vsock device whose driver is not there yet is tried again until it comes.  Thread: loop.
 */
#ifndef GUESTD_LISTENER_H
#define GUESTD_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

/* Opens all endpoints of the configuration.  0, or -errno with a sentence in WHY. */
MUST_CHECK int listeners_start(char *why, size_t why_len);

/* "listening on vsock:1024; waiting for serial:/dev/ttyS1": cut where LEN is too short. */
void listeners_describe(char *text, size_t len);

/* Closes them and removes the Unix sockets.  Serial lines stay: they carry the last words too. */
void listeners_stop(void);

/* Frees what listeners_stop has left. */
void listeners_fini(void);

/*
 * The vsock transport was reset under a connection, as a restore does it.  Listeners survive that; but
 * where nothing is heard on vsock for some time after it, they are made anew: there are kernels and
 * hypervisors in which they do not.
 */
void listeners_suspect(void);

/* Is FD, a connected Unix socket, connected to the address of one of them? */
bool listener_is_peer(int fd);

#endif
