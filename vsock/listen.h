/*
 * vsock/listen.h - listening sockets, and whom they let in
 *
 * No event loop here: descriptors are non-blocking and the caller waits for them.
 */
#ifndef VSOCK_LISTEN_H
#define VSOCK_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "vsock/endpoint.h"

/* AF_VSOCK peers that may connect. */
struct peer_policy {
	uint32_t cid[16];
	size_t n_cids;
};

/* The host alone: CID 2. */
void peer_policy_init(struct peer_policy *policy);

/* A listening descriptor that the caller owns, or -errno with a sentence in WHY. */
MUST_CHECK int listen_open(const struct endpoint *ep, char *why, size_t why_len);

/* May -ERR of listen_open pass by itself, because the device or its driver is not there yet? */
bool listen_may_come(const struct endpoint *ep, int err);

/* Removes the socket of a unix: endpoint that listen_open made. */
void listen_unlink(const struct endpoint *ep);

/*
 * One connection of LISTENER, non-blocking, that the caller owns.  -EAGAIN: none is waiting;
 * -EACCES: one was there and was refused, WHY (WHY_LEN bytes) says who; else -errno.
 */
MUST_CHECK int listen_accept(
	int listener, const struct peer_policy *policy, char *why, size_t why_len);

#endif
