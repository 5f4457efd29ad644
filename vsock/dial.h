/*
 * vsock/dial.h - connecting to an agent, as a host does
 */
#ifndef VSOCK_DIAL_H
#define VSOCK_DIAL_H

#include <stddef.h>

#include "base/check.h"
#include "vsock/endpoint.h"

/*
 * A connected, blocking descriptor that the caller owns, or -errno with a sentence in WHY.
 * For uds: the hybrid handshake is done, bounded by TIMEOUT_MS; its OK only says that the
 * guest's kernel took the connection, not that an agent reads it.
 */
MUST_CHECK int dial(const struct endpoint *ep, int timeout_ms, char *why, size_t why_len);

#endif
