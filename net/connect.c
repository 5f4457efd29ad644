/* net/connect.c - a TCP connection to the first of some addresses that takes it */
#include "net/connect.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "base/fd.h"

/*
 * A port that nobody listens on may be picked for our own end of the connection, which then is one
 * with itself (tcp(7) calls it a simultaneous open).
 */
static bool is_with_itself(int fd)
{
	union sockaddr_any us, them;
	socklen_t our_len = sizeof(us), their_len = sizeof(them);

	memset(&us, 0, sizeof(us));
	memset(&them, 0, sizeof(them));
	return getsockname(fd, &us.any, &our_len) == 0 &&
	       getpeername(fd, &them.any, &their_len) == 0 && our_len == their_len &&
	       memcmp(&us, &them, our_len) == 0;
}

static void close_it(struct connect *c)
{
	ev_io_stop(loop_ev(), &c->io);
	fd_close(&c->fd);
}

/* Binding to the other end's address is what the kernel allows for its own addresses alone. */
static int bind_local(int fd, const struct address *a)
{
	union sockaddr_any addr;
	socklen_t len = address_sockaddr(a, 0, &addr);
	int on = 1;

	/* Which port, connect(2) finds out: else there are but 28 000 for all addresses. */
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
		bind(fd, &addr.any, len) < 0)
		return -errno;
	return 0;
}

/* 0: it is connected; -EINPROGRESS; or why not. */
static int try_one(struct connect *c)
{
	const struct address *a = &c->at[c->i];
	union sockaddr_any addr;
	socklen_t len = address_sockaddr(a, c->port, &addr);
	int err = 0, on = 1;

	c->fd = socket(a->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return -errno;
	/* Bytes are passed on as they come: whoever wrote them decides what waits for what. */
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (c->local)
		err = bind_local(c->fd, a);
	if (!err && connect(c->fd, &addr.any, len) < 0)
		err = -errno;
	return err;
}

static int check(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	return -err;
}

static void go_on(struct connect *c, int err)
{
	while (err != -EINPROGRESS) {
		if (!err && is_with_itself(c->fd))
			err = -ECONNREFUSED;
		if (!err) {
			ev_io_stop(loop_ev(), &c->io);
			c->done(c, 0, &c->fd);
			return;
		}
		close_it(c);
		if (!c->err) {
			c->err = err;
			c->first = c->i;
		}
		if (c->i + 1 == c->n) {
			c->i = c->first;
			c->done(c, c->err, &c->fd);
			return;
		}
		c->i++;
		err = try_one(c);
	}
	ev_io_set(&c->io, c->fd, EV_WRITE);
	ev_io_start(loop_ev(), &c->io);
}

static void on_writable(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct connect *c = CONTAINER_OF(w, struct connect, io);

	(void)revents;
	ev_io_stop(ev, w);
	go_on(c, check(c->fd));
}

void connect_start(struct connect *c)
{
	c->i = c->first = 0;
	c->err = 0;
	ev_init(&c->io, on_writable);
	go_on(c, try_one(c));
}

void connect_stop(struct connect *c)
{
	if (!c->io.cb)
		return;
	close_it(c);
}
