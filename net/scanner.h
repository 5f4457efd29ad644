/*
 * net/scanner.h - which ports of the guest are open, for whoever wants to know
 *
 * The kernel tells nobody that a socket began to listen, so it is asked again and again, on a
 * worker, while somebody watches, and never otherwise.  How often:
 *
 *	20 ms    somebody waits for a port (net.wait), for the first 30 s of that
 *	         something happened within the last 10 s: a process was started, a port opened or closed
 *	50 ms    somebody watches (net.watch), or waits for longer
 *	500 ms   only readers of system.events
 *
 * and never so often that it takes more than 2 % of a processor.  SKNLGRP_INET_TCP_DESTROY would
 * tell of closed ports at once, but has the kernel write a message for every connection of the
 * guest that ends; and who asks for the opened ones sees the closed ones too.
 *
 * Thread: loop.
 */
#ifndef NET_SCANNER_H
#define NET_SCANNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/list.h"
#include "guestd/loop.h"
#include "net/sockets.h"
#include "proto/enc.h"
#include "proto/err.h"

/* One address that something listens on; several sockets that share it (SO_REUSEPORT) are one. */
struct port {
	struct listening sock;
	pid_t pid;     /* 0: not found */
	char comm[32]; /* "": not found */
	char id[132];  /* the agent's process that it belongs to, or "" */
	bool looked;   /* at whose it is */
};

enum scan_pace { PACE_WATCH, PACE_WAIT };

/* Somebody for whom the ports are looked at. */
struct scan_client {
	/* in */
	enum scan_pace pace;
	/*
	 * A scan that began after scan_join has ended, and every later one.  ERR: there is none
	 * (ERR_LIMIT: more than MAX_PORTS are open), and the ports are those of an earlier one.
	 * The client itself may leave in here, no other may.
	 */
	void (*scanned)(struct scan_client *c, int err);

	/* private */
	struct list link;
	uint64_t after;
	ev_tstamp since;
};

void scan_join(struct scan_client *c);
void scan_leave(struct scan_client *c);

/* Sorted by sockets_compare; until the next scanned(). */
const struct port *scan_ports(size_t *n);

/* Rises whenever they change. */
uint64_t scan_version(void);

/* Fills F with why a scan failed. */
int scan_failure(struct failure *f, int err);

/* The map of net.ports. */
void port_encode(const struct port *p, struct enc *e);

/* What somebody was told of the ports. */
struct told {
	struct listening sock;
	pid_t pid;
};
struct picture {
	struct told *at;
	size_t n;
};

/* FN for all in which PICTURE differs from the ports, which it then shows.  PORT: NULL when closed. */
void net_picture_update(struct picture *picture,
	void (*fn)(void *ctx, const struct told *told, const struct port *port), void *ctx);
void net_picture_fini(struct picture *picture);

/* port, address and pid; how many pairs. */
size_t told_encode(const struct told *told, struct enc *e);

#endif
