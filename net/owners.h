/*
 * net/owners.h - which processes hold sockets, by inode
 *
 * The kernel does not say: /proc/PID/fd of the processes is looked through, the youngest first,
 * until all are found.  That costs some 2 us a descriptor, so it is done for sockets that were not
 * known before, and no longer than OWNERS_MAX_MS.
 *
 * Thread: any.
 */
#ifndef NET_OWNERS_H
#define NET_OWNERS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define OWNERS_MAX_MS 300

struct owner {
	uint64_t inode;
	pid_t pid; /* 0: not found */
};

/* Sorts AT by inode and fills in who holds each: of several that inherited it, the eldest. */
void owners_find(struct owner *at, size_t n);

#endif
