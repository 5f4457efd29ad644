/*
 * net/sockets.h - the listening TCP sockets of the guest's network namespace, as the kernel has them
 *
 * Asked of the kernel by NETLINK_SOCK_DIAG, which walks listening sockets alone: some 30 us where
 * there are few, 0.3 ms for a thousand.  Where that is not to be had, from /proc/net/tcp and tcp6,
 * which list every connection as well.
 *
 * Thread: any; nothing is kept between two calls.
 */
#ifndef NET_SOCKETS_H
#define NET_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/check.h"

struct listening {
	uint16_t port;
	uint8_t family;   /* AF_INET or AF_INET6 */
	uint8_t addr[16]; /* as it goes over the wire; of IPv4 the first four */
	uint32_t device;  /* the interface that it is bound to, or 0 */
	uint64_t inode;
};

struct sockets {
	struct listening *at;
	size_t n, cap;
	bool truncated; /* more than MAX_PORTS */
};

/* Adds all that listen.  0, or -errno: there is neither. */
MUST_CHECK int sockets_find(struct sockets *s);
void sockets_fini(struct sockets *s);

/* By port, family, address, device; sockets that share all of these (SO_REUSEPORT) are equal. */
int sockets_compare(const struct listening *a, const struct listening *b);

/* Sorts by that and by inode, and drops what is there twice. */
void sockets_sort(struct sockets *s);

/* A line of /proc/net/tcp (tcp6 with AF_INET6).  False when it is none of a listening socket. */
bool sockets_parse(const char *line, int family, struct listening *out);

#endif
