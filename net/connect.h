/*
 * net/connect.h - a TCP connection to the first of some addresses that takes it, without blocking
 *
 * Owner: embedded in what wants it.  Thread: loop.
 */
#ifndef NET_CONNECT_H
#define NET_CONNECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guestd/loop.h"
#include "net/address.h"

struct connect {
	/* in */
	struct address at[MAX_ADDRESSES];
	size_t n;
	uint16_t port;
	/* Addresses of this guest alone: -EADDRNOTAVAIL for any other, and nothing leaves. */
	bool local;
	/*
	 * Over: ERR 0 with the socket, non-blocking, in *FD, which the callee takes; c->i is the
	 * address.  Or the first error of all, and c->i its address.  May be called from inside of
	 * connect_start.
	 */
	void (*done)(struct connect *c, int err, int *fd);

	/* out, and private */
	size_t i;
	size_t first;
	int err, fd;
	struct ev_io io;
};

/* The caller has filled in what is `in`. */
void connect_start(struct connect *c);

/* done() is not called any more.  Also of one that never started, if it is zeroed. */
void connect_stop(struct connect *c);

#endif
