/*
 * vsock/port.h - serial ports: ttys, and virtio ports by their names
 */
#ifndef VSOCK_PORT_H
#define VSOCK_PORT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"
#include "vsock/endpoint.h"

/*
 * The port of a serial: endpoint, non-blocking, a tty set raw: a descriptor that the caller owns,
 * or -errno with a sentence in WHY.
 */
MUST_CHECK int port_open(const struct endpoint *ep, char *why, size_t why_len);

/* Is there a virtio console, which may have ports?  Their names come a moment after it. */
bool port_virtio_exists(void);

/* May -ERR of port_open pass by itself, because device, driver or cable are not there yet? */
bool port_may_come(int err);

#endif
