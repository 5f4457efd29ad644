/* guestd/serial.c - serial lines in the loop */
#include "guestd/serial.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "guestd/config.h"
#include "guestd/conn.h"
#include "guestd/loop.h"
#include "proto/err.h"
#include "proto/limits.h"
#include "proto/scan.h"
#include "vsock/bridge.h"
#include "vsock/port.h"

/* How often a line that is not there, or at whose end is nobody, is looked for. */
#define RETRY_INTERVAL 1.0

/* One that stays away is looked for less and less, down to this: idle guests are to stay asleep. */
#define RETRY_MAX 30.0

/* What waits behind a slow line is waited for by what comes later: little. */
#define CONN_ROOM (8u << 10)

struct serial {
	const struct endpoint *ep;
	struct bridge bridge;
	struct ev_io line_in, line_out, stream_in, stream_out;
	struct ev_timer retry; /* active: there is no line, or nobody at its other end */
	int edge; /* meanwhile tells of a virtio port whose host comes back; -1: none */
	struct ev_io back;
};

static void watch(struct ev_io *io, int fd, int events, bool wanted)
{
	if (wanted == (bool)ev_is_active(io))
		return;
	if (wanted) {
		ev_io_set(io, fd, events);
		ev_io_start(loop_ev(), io);
	} else {
		ev_io_stop(loop_ev(), io);
	}
}

/* Waits for what the bridge can go on with. */
static void rearm(struct serial *s)
{
	struct bridge *b = &s->bridge;
	bool line = b->line >= 0 && !ev_is_active(&s->retry), stream = b->stream >= 0;

	watch(&s->line_in, b->line, EV_READ, line && bridge_line_events(b) & POLLIN);
	watch(&s->line_out, b->line, EV_WRITE, line && bridge_line_events(b) & POLLOUT);
	watch(&s->stream_in, b->stream, EV_READ, stream && bridge_stream_events(b) & POLLIN);
	watch(&s->stream_out, b->stream, EV_WRITE, stream && bridge_stream_events(b) & POLLOUT);
}

/*
 * While the host's end of a virtio port is closed, poll(2) says "hung up" all the time.  An edge of it is
 * what the port wakes its waiters for (virtio_console.c, VIRTIO_CONSOLE_PORT_OPEN): so a host that comes
 * is heard at once, and one that stays away costs nothing.  Without it the timer finds it.
 */
static void await_host(struct serial *s)
{
	struct epoll_event edge = {.events = EPOLLIN | EPOLLET};

	if (s->edge >= 0)
		return;
	s->edge = epoll_create1(EPOLL_CLOEXEC);
	if (s->edge < 0)
		return;
	if (epoll_ctl(s->edge, EPOLL_CTL_ADD, s->bridge.line, &edge) < 0) {
		fd_close(&s->edge);
		return;
	}
	ev_io_set(&s->back, s->edge, EV_READ);
	ev_io_start(loop_ev(), &s->back);
}

static void await_no_host(struct serial *s)
{
	ev_io_stop(loop_ev(), &s->back);
	fd_close(&s->edge);
}

static void stop(struct serial *s)
{
	ev_io_stop(loop_ev(), &s->line_in);
	ev_io_stop(loop_ev(), &s->line_out);
	ev_io_stop(loop_ev(), &s->stream_in);
	ev_io_stop(loop_ev(), &s->stream_out);
}

/* The connection ends: it sees its peer close. */
static void end_conn(struct serial *s)
{
	ev_io_stop(loop_ev(), &s->stream_in);
	ev_io_stop(loop_ev(), &s->stream_out);
	fd_close(&s->bridge.stream);
	bridge_set_stream(&s->bridge, -1);
}

static void begin_conn(struct serial *s)
{
	int end[2], room = CONN_ROOM;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, end) < 0) {
		log_limited(
			LOG_ERROR, "serial", "cannot begin a connection err=%s", err_name(-errno));
		return;
	}
	if (setsockopt(end[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) < 0)
		log_debug("serial", "cannot set SO_SNDBUF");
	bridge_set_stream(&s->bridge, end[0]);
	conn_new(end[1], config()->token != NULL, SERIAL_MAX_FRAME);
}

static bool is_hello(const char *message, size_t len)
{
	struct scan scan;
	const char *method;
	uint64_t type;
	size_t n;

	return scan_message(message, len, &scan) == 0 && scan.n_parts == 4 &&
	       span_uint(&scan.part[0], &type) && type == MSG_REQUEST &&
	       span_bytes(&scan.part[2], &method, &n) && n == strlen("hello") &&
	       memcmp(method, "hello", n) == 0;
}

static void on_message(struct bridge *b, const char *message, size_t len)
{
	struct serial *s = CONTAINER_OF(b, struct serial, bridge);

	if (b->stream >= 0 && is_hello(message, len))
		end_conn(s);
	if (b->stream < 0)
		begin_conn(s);
}

/*
 * Nobody is there, or the line is hung up.  A virtio port is kept, and asked: opened anew it would
 * lose what the host has written meanwhile.  A tty is of no more use.
 */
static void lose_line(struct serial *s, int err)
{
	log_debug("serial", "lost %s err=%s", s->ep->path, err_name(err));
	end_conn(s);
	stop(s);
	if (err != -EPIPE || isatty(s->bridge.line)) {
		fd_close(&s->bridge.line);
		bridge_set_line(&s->bridge, -1);
	} else {
		bridge_set_line(&s->bridge, s->bridge.line);
		await_host(s);
	}
	ev_timer_again(loop_ev(), &s->retry);
}

static void after(struct serial *s, int line_err, int stream_err)
{
	if (line_err)
		lose_line(s, line_err);
	else if (stream_err)
		end_conn(s);
	rearm(s);
}

static void on_line_in(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct serial *s = CONTAINER_OF(w, struct serial, line_in);

	(void)ev, (void)revents;
	after(s, bridge_line_in(&s->bridge), 0);
}

static void on_line_out(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct serial *s = CONTAINER_OF(w, struct serial, line_out);

	(void)ev, (void)revents;
	after(s, bridge_line_out(&s->bridge), 0);
}

static void on_stream_in(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct serial *s = CONTAINER_OF(w, struct serial, stream_in);

	(void)ev, (void)revents;
	after(s, 0, bridge_stream_in(&s->bridge));
}

static void on_stream_out(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct serial *s = CONTAINER_OF(w, struct serial, stream_out);

	(void)ev, (void)revents;
	after(s, 0, bridge_stream_out(&s->bridge));
}

/* 0 when there is a line with somebody at its other end, or -errno. */
static int find_line(struct serial *s, char *why, size_t why_len)
{
	struct pollfd p = {.fd = s->bridge.line, .events = POLLIN};
	int fd;

	if (p.fd >= 0)
		/* It can also be "read": to its end at once (virtio_console.c, will_read_block). */
		return poll(&p, 1, 0) == 1 && p.revents & POLLHUP ? -EPIPE : 0;
	fd = port_open(s->ep, why, why_len);
	if (fd < 0)
		return fd;
	bridge_set_line(&s->bridge, fd);
	return 0;
}

static bool look_for_line(struct serial *s)
{
	char why[200];

	if (find_line(s, why, sizeof(why)))
		return false;
	await_no_host(s);
	s->retry.repeat = RETRY_INTERVAL;
	ev_timer_stop(loop_ev(), &s->retry);
	rearm(s);
	return true;
}

static void on_retry(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)revents;
	if (look_for_line(CONTAINER_OF(w, struct serial, retry)))
		return;
	w->repeat = MIN(2 * w->repeat, RETRY_MAX);
	ev_timer_again(ev, w);
}

static void on_back(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct serial *s = CONTAINER_OF(w, struct serial, back);
	struct epoll_event seen;

	(void)ev, (void)revents;
	if (epoll_wait(s->edge, &seen, 1, 0) >= 0)
		look_for_line(s);
}

int serial_open(const struct endpoint *ep, struct serial **out, char *why, size_t why_len)
{
	struct serial *s = xcalloc(1, sizeof(*s));
	int err;

	s->ep = ep;
	bridge_init(&s->bridge, -1, -1);
	s->bridge.message = on_message;
	ev_init(&s->line_in, on_line_in);
	ev_init(&s->line_out, on_line_out);
	ev_init(&s->stream_in, on_stream_in);
	ev_init(&s->stream_out, on_stream_out);
	ev_init(&s->retry, on_retry);
	ev_init(&s->back, on_back);
	s->edge = -1;
	s->retry.repeat = RETRY_INTERVAL;
	err = find_line(s, why, why_len);
	if (err && !port_may_come(err)) {
		serial_close(s);
		return err;
	}
	if (err) {
		log_warn("serial", "%s; trying again until it works", why);
		ev_timer_again(loop_ev(), &s->retry);
	}
	rearm(s);
	*out = s;
	return 0;
}

void serial_close(struct serial *s)
{
	stop(s);
	ev_timer_stop(loop_ev(), &s->retry);
	await_no_host(s);
	fd_close(&s->bridge.stream);
	fd_close(&s->bridge.line);
	bridge_fini(&s->bridge);
	free(s);
}
