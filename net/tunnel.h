/*
 * net/tunnel.h - a call's bytes to and from a socket
 *
 *	channel 0   -> what the socket does not take waits in a queue -> its end: shutdown(SHUT_WR)
 *	channel 1   <- read only when the client takes some           <- its end: the peer's
 *
 * Each direction ends by itself; when both have, the call has its response.  What the client sends
 * is consumed when the socket took it, and the socket is read when the client has credit and room:
 * whoever does not read holds back the other side, and nobody else.
 *
 * A tunnel that is cut (canceled, connection lost) before the client's end was passed on resets the
 * peer, where the socket is TCP: it must not take a part for the whole.
 *
 * Owner: embedded in what made it.  Thread: loop.
 */
#ifndef NET_TUNNEL_H
#define NET_TUNNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "guestd/loop.h"
#include "proto/err.h"

struct req;

struct tunnel {
	struct req *req;
	/* The call is over, and answered or gone: free it. */
	void (*over)(struct tunnel *t);

	/* private */
	int fd; /* -1: not connected so far */
	struct ev_io readable, writable;
	struct buf queue;   /* from the client, and not taken by the socket */
	const char *pulled; /* from the socket, and not taken by the client */
	size_t n_pulled;
	char *own;               /* where they lie once another tunnel reads; or NULL */
	size_t granted;          /* beyond the window */
	uint64_t sent, received; /* passed on to the socket, to the client */
	bool client_ended, shut; /* the client sends no more; the peer was told */
	bool peer_ended;
	bool dry;          /* the last read took all that there was */
	int err;           /* of the socket */
	const char *stage; /* and where */
};

/* Turns REQ into the stream.  0; ERR_LIMIT, with F filled, and nothing has happened. */
int tunnel_open(struct tunnel *t, struct req *req, struct failure *f);

/* The socket is there: non-blocking, taken.  What was sent so far goes into it. */
void tunnel_start(struct tunnel *t, int fd);

/* It never will be.  Ends the call. */
void tunnel_refuse(struct tunnel *t, const struct failure *f);

#endif
