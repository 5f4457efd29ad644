/* machine/rtnl.c - requests to the kernel's routing, one at a time */
#include "machine/rtnl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include <linux/rtnetlink.h>

#include "base/fd.h"
#include "base/mem.h"

/* One read of a dump: the kernel fills no more than this (NLMSG_GOODSIZE and what it grows to). */
#define CHUNK (32u << 10)

/* The kernel answers at once, unless something is wrong with it. */
#define ANSWER_S 5

int rtnl_open(void)
{
	struct timeval limit = {.tv_sec = ANSWER_S};
	cleanup_fd int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	return take_fd(&fd);
}

void rtnl_begin(struct rtnl_request *r, uint16_t type, uint16_t flags, const void *body, size_t len)
{
	*r = (struct rtnl_request){
		.header = {.nlmsg_len = (uint32_t)NLMSG_LENGTH(len),
			.nlmsg_type = type,
			.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)},
	};
	memcpy(NLMSG_DATA(&r->header), body, len);
}

void rtnl_add(struct rtnl_request *r, uint16_t attribute, const void *bytes, size_t len)
{
	size_t at = NLMSG_ALIGN(r->header.nlmsg_len);
	struct rtattr *a = (struct rtattr *)((char *)&r->header + at);

	ASSERT(at + RTA_SPACE(len) <= sizeof(*r));
	a->rta_type = attribute;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), bytes, len);
	r->header.nlmsg_len = (uint32_t)(at + RTA_LENGTH(len));
}

void rtnl_add_u32(struct rtnl_request *r, uint16_t attribute, uint32_t value)
{
	rtnl_add(r, attribute, &value, sizeof(value));
}

/* Of one read: 1 = there is more to come, 0 = all of it was there, or -errno. */
static int take(char *bytes, ssize_t n, void (*fn)(const struct nlmsghdr *, void *), void *ctx)
{
	struct nlmsghdr *m = (struct nlmsghdr *)bytes;

	for (; NLMSG_OK(m, (unsigned)n); m = NLMSG_NEXT(m, n)) {
		if (m->nlmsg_type == NLMSG_DONE)
			return 0;
		if (m->nlmsg_type == NLMSG_ERROR)
			return ((const struct nlmsgerr *)NLMSG_DATA(m))->error;
		if (fn)
			fn(m, ctx);
	}
	return 1;
}

static int talk(
	int fd, struct rtnl_request *r, void (*fn)(const struct nlmsghdr *, void *), void *ctx)
{
	char *bytes = xmalloc(CHUNK);
	int err = send(fd, &r->header, r->header.nlmsg_len, 0) < 0 ? -errno : 1;

	while (err == 1) {
		ssize_t n = recv(fd, bytes, CHUNK, 0);

		if (n >= 0)
			err = take(bytes, n, fn, ctx);
		else if (errno != EINTR)
			err = errno == EAGAIN ? -ETIMEDOUT : -errno;
	}
	free(bytes);
	return err;
}

int rtnl_do(int fd, struct rtnl_request *r)
{
	r->header.nlmsg_flags |= NLM_F_ACK;
	return talk(fd, r, NULL, NULL);
}

int rtnl_dump(int fd, struct rtnl_request *r, void (*fn)(const struct nlmsghdr *message, void *ctx),
	void *ctx)
{
	r->header.nlmsg_flags |= NLM_F_DUMP;
	return talk(fd, r, fn, ctx);
}

const void *rtnl_find(
	const struct nlmsghdr *message, size_t len, uint16_t type, size_t *attribute_len)
{
	const struct rtattr *a =
		(const struct rtattr *)((const char *)message + NLMSG_LENGTH(0) + NLMSG_ALIGN(len));
	int left = (int)message->nlmsg_len - (int)NLMSG_SPACE(len);

	for (; RTA_OK(a, left); a = RTA_NEXT(a, left)) {
		if (a->rta_type == type) {
			*attribute_len = RTA_PAYLOAD(a);
			return RTA_DATA(a);
		}
	}
	return NULL;
}
