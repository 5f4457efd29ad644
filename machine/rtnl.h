/*
 * machine/rtnl.h - requests to the kernel's routing, one at a time (rtnetlink(7))
 *
 * Owner: the caller.  Thread: worker.
 */
#ifndef MACHINE_RTNL_H
#define MACHINE_RTNL_H

#include <stddef.h>
#include <stdint.h>
#include <linux/netlink.h>

#include "base/check.h"

/* Enough for what we say: a header, a family's header, a few attributes. */
#define RTNL_REQUEST_MAX 256

struct rtnl_request {
	struct nlmsghdr header;
	char room[RTNL_REQUEST_MAX];
};

/* A socket, CLOEXEC, or -errno. */
MUST_CHECK int rtnl_open(void);

/* A request of TYPE; BODY of LEN bytes is the family's header. */
void rtnl_begin(
	struct rtnl_request *r, uint16_t type, uint16_t flags, const void *body, size_t len);
void rtnl_add(struct rtnl_request *r, uint16_t attribute, const void *bytes, size_t len);
void rtnl_add_u32(struct rtnl_request *r, uint16_t attribute, uint32_t value);

/* Sends it and waits for its acknowledgement.  0 or -errno, the kernel's. */
MUST_CHECK int rtnl_do(int fd, struct rtnl_request *r);

/* Sends a dump; FN is called with each message of the answer.  0 or -errno. */
MUST_CHECK int rtnl_dump(int fd, struct rtnl_request *r,
	void (*fn)(const struct nlmsghdr *message, void *ctx), void *ctx);

/* The attribute TYPE behind a family's header of LEN bytes; NULL: there is none. */
const void *rtnl_find(
	const struct nlmsghdr *message, size_t len, uint16_t type, size_t *attribute_len);

#endif
