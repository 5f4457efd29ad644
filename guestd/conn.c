/* guestd/conn.c - one host connection: its socket, its output, its life */
#include "guestd/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/sockios.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "guestd/crowd.h"
#include "guestd/listener.h"
#include "guestd/req.h"
#include "proto/limits.h"

/* What one connection may send in a turn before the others have theirs. */
#define FLUSH_BUDGET (1u << 20)

/* Small data is gathered behind the control messages up to here, for one write. */
#define GATHER_MAX (64u << 10)

/* What conn_flush_soon waits: the shortest time that the loop can wait. */
#define FLUSH_SOON 0.001

/* A peer that must show a token has this long, so that it cannot hold a place for ever. */
#define TOKEN_DEADLINE 30.0

/* Beyond max_connections, this many hear why. */
#define MAX_REFUSED 64

/* How long the last message is waited for, and how often we look. */
#define LINGER_MAX   5.0
#define LINGER_CHECK 0.02
/* A transport that cannot say what was taken (virtio-vsock before Linux 6.13) gets this long. */
#define LINGER_BLIND 1.0

/* So long a peer that seems to have been silent is read before it is judged. */
#define REPRIEVE 0.01

/* Where the kernel has no memory for a send, it is tried again after this: the socket says "writable". */
#define STARVED_PAUSE 0.02

/* How often a connection that is not read is asked whether its peer is still there. */
#define WATCH_INTERVAL 1.0

static struct {
	struct list all;
	size_t n;
	unsigned number;
	ev_tstamp vsock_heard;
} conns = {.all = {&conns.all, &conns.all}};

/* Every connection reads into this one buffer: what it holds is used up before the next. */
static char read_chunk[READ_CHUNK];

size_t conn_count(void)
{
	return conns.n;
}

ev_tstamp conn_vsock_heard(void)
{
	return conns.vsock_heard;
}

void conn_flush_later(struct conn *conn)
{
	if (conn->state != CONN_DEAD)
		turn_request(&conn->turn);
}

void conn_flush_soon(struct conn *conn)
{
	if (conn->state != CONN_DEAD && !ev_is_active(&conn->soon))
		ev_timer_again(loop_ev(), &conn->soon);
}

bool conn_wrote_just_now(const struct conn *conn)
{
	return conn->last_out > conn->last_asked && loop_now() - conn->last_out < FLUSH_SOON;
}

static void on_soon(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)ev, (void)revents;
	conn_flush_later(CONTAINER_OF(w, struct conn, soon));
}

static void bury(struct grave *grave)
{
	struct conn *conn = CONTAINER_OF(grave, struct conn, grave);

	frame_fini(&conn->in);
	buf_fini(&conn->out);
	fd_close(&conn->fd);
	free(conn);
}

static void drop_calls(struct conn *conn)
{
	while (!list_empty(&conn->reqs))
		req_drop(LIST_FIRST(&conn->reqs, struct req, link));
	while (!list_empty(&conn->watches)) {
		struct conn_watch *watch = LIST_FIRST(&conn->watches, struct conn_watch, link);

		list_del(&watch->link);
		watch->gone(watch);
	}
}

void conn_kill(struct conn *conn, const char *why)
{
	if (conn->state == CONN_DEAD)
		return;
	log_debug("conn", "closed conn=%u why=\"%s\"", conn->number, why);
	conn->state = CONN_DEAD;
	ev_io_stop(loop_ev(), &conn->readable);
	ev_io_stop(loop_ev(), &conn->writable);
	ev_timer_stop(loop_ev(), &conn->soon);
	ev_timer_stop(loop_ev(), &conn->starved);
	ev_timer_stop(loop_ev(), &conn->alive);
	ev_timer_stop(loop_ev(), &conn->watch);
	drop_calls(conn);
	turn_cancel(&conn->turn);
	list_del(&conn->link);
	conns.n--;
	loop_bury(&conn->grave, bury);
}

void conn_message_begin(struct conn *conn, struct enc *e)
{
	enc_frame_begin(e, &conn->out);
}

void conn_message_end_soon(struct conn *conn, struct enc *e)
{
	/* Killed at the end of the turn only: the caller still holds its request. */
	if (enc_frame_end(e, conn->max_frame) < 0)
		conn->overflowed = true;
	conn_flush_soon(conn);
}

void conn_message_end(struct conn *conn, struct enc *e)
{
	conn_message_end_soon(conn, e);
	conn_flush_later(conn);
}

void conn_goodbye(struct conn *conn, int err, const char *why)
{
	struct failure f;
	struct enc e;

	if (conn->state != CONN_OPEN)
		return;
	if (!conn->heard) {
		conn_kill(conn, why);
		return;
	}
	log_limited(LOG_INFO, "conn", "goodbye conn=%u code=%s why=\"%s\"", conn->number,
		err_name(err), why);
	drop_calls(conn);
	failure_set(&f, err, NULL, NULL, "%s", why);
	conn_message_begin(conn, &e);
	enc_array(&e, 3);
	enc_uint(&e, MSG_NOTIFICATION);
	enc_str(&e, "goodbye");
	failure_encode(&f, &e);
	conn_message_end(conn, &e);
	conn->state = CONN_LINGERING;
	conn->linger_since = loop_now();
	ev_timer_stop(loop_ev(), &conn->alive);
	/* Read on, to throw away: a peer that is busy writing would never see the message. */
	conn->paused = false;
	ev_io_start(loop_ev(), &conn->readable);
	conn->watch.repeat = LINGER_CHECK;
	ev_timer_again(loop_ev(), &conn->watch);
}

void conn_goodbye_all(int err, const char *why)
{
	list_each_safe(link, &conns.all)
		conn_goodbye(CONTAINER_OF(link, struct conn, link), err, why);
}

void conn_kill_all_but(const struct conn *keep, const char *why)
{
	list_each_safe(link, &conns.all) {
		struct conn *conn = CONTAINER_OF(link, struct conn, link);

		if (conn != keep)
			conn_kill(conn, why);
	}
}

/* Reading */

static bool may_read(const struct conn *conn)
{
	return conn->state == CONN_OPEN && buf_len(&conn->out) < OUT_HIGH &&
	       (conn->credit_mode || conn->input_pending < INPUT_HIGH);
}

static void pause_reading(struct conn *conn)
{
	if (conn->paused || conn->state != CONN_OPEN)
		return;
	conn->paused = true;
	ev_io_stop(loop_ev(), &conn->readable);
	conn->watch.repeat = WATCH_INTERVAL;
	ev_timer_again(loop_ev(), &conn->watch);
}

/* The message that was just served held secrets: nothing of it is to stay where it was read. */
static void forget_input(struct conn *conn)
{
	conn->heard_secret = false;
	/* The beginning of one that was cut lies in what was read before, wherever. */
	if (frame_wipe(&conn->in))
		conn->wipe_chunk = true;
}

/* Hands out the frames that are there, as long as there is room for what they cause. */
static void parse(struct conn *conn)
{
	const char *body;
	size_t len;
	int r = 1;

	while (r == 1 && may_read(conn)) {
		conn->in.max = conn->max_frame;
		r = frame_next(&conn->in, &body, &len);
		if (r == 1)
			dispatch(conn, body, len);
		if (conn->heard_secret)
			forget_input(conn);
	}
	if (conn->state != CONN_OPEN) {
		conn->in.left = 0;
	} else if (r < 0 || (r == 1 && frame_keep(&conn->in) < 0)) {
		conn->in.left = 0;
		conn_goodbye(conn, ERR_PROTOCOL, conn->in.why);
	} else if (r == 1) {
		pause_reading(conn);
	}
	if (conn->wipe_chunk)
		explicit_bzero(read_chunk, sizeof(read_chunk));
	conn->wipe_chunk = false;
}

static void on_readable(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct conn *conn = CONTAINER_OF(w, struct conn, readable);
	/*
	 * Also after EPOLLERR alone, which is all that a reset of the vsock transport raises
	 * (virtio_vsock_reset_sock): the read then fails.
	 */
	ssize_t n = recv(conn->fd, read_chunk, sizeof(read_chunk), 0);

	(void)ev, (void)revents;
	if (n == 0) {
		conn_kill(conn, "closed by the peer");
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		/* A peer that closes is the end of the stream; these two are a transport that was reset. */
		if (!conn->local && (errno == ENOTCONN || errno == ECONNRESET))
			listeners_suspect();
		conn_kill(conn, err_name(-errno));
	} else if (n > 0 && conn->state == CONN_OPEN) {
		conn->last_in = loop_now();
		if (!conn->local)
			conns.vsock_heard = conn->last_in;
		conn->heard = true;
		if (conn->refused) {
			conn_goodbye(conn, ERR_LIMIT, "max_connections is reached");
			return;
		}
		frame_push(&conn->in, read_chunk, (size_t)n);
		parse(conn);
	}
}

static void read_on(struct conn *conn)
{
	if (!conn->paused || !may_read(conn))
		return;
	conn->paused = false;
	ev_timer_stop(loop_ev(), &conn->watch);
	parse(conn);
	if (conn->state == CONN_OPEN && !conn->paused)
		ev_io_start(loop_ev(), &conn->readable);
}

/* Writing */

/* True when the socket takes no more now, or the connection is dead. */
static bool sent(struct conn *conn, ssize_t n, size_t wanted)
{
	if (n < 0 && (errno == ENOMEM || errno == ENOBUFS)) {
		conn->blocked = true;
		ev_timer_again(loop_ev(), &conn->starved);
		return true;
	}
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		conn_kill(conn, err_name(-errno));
		return true;
	}
	if (n > 0)
		conn->last_out = loop_now();
	if (n < 0 || (size_t)n < wanted) {
		conn->blocked = true;
		ev_io_start(loop_ev(), &conn->writable);
	}
	return conn->blocked;
}

/* The control queue alone. */
static bool send_control(struct conn *conn)
{
	size_t len = buf_len(&conn->out);
	ssize_t n = send(conn->fd, buf_bytes(&conn->out), len, MSG_NOSIGNAL);

	if (n > 0)
		buf_consume(&conn->out, (size_t)n);
	return sent(conn, n, len);
}

/* What the socket did not take of a message that it began: SKIP bytes of it are out. */
static int keep_rest(struct conn *conn, const struct iovec *part, size_t skip)
{
	for (int i = 0; i < 2; i++) {
		size_t n = MIN(skip, part[i].iov_len);

		skip -= n;
		if (buf_add(&conn->out, (char *)part[i].iov_base + n, part[i].iov_len - n) < 0)
			return -ENOBUFS;
	}
	return 0;
}

/* The control queue and one data message, gathered: its payload is not copied here. */
static bool send_data(struct conn *conn, struct req *req, const struct chunk *chunk)
{
	char header[DATA_HEADER_MAX];
	size_t header_len = enc_data_header(header, req->id, chunk->channel, (uint32_t)chunk->len);
	size_t control = buf_len(&conn->out);
	struct iovec iov[] = {
		{control ? buf_bytes(&conn->out) : NULL, control},
		{header, header_len},
		{(char *)chunk->bytes, chunk->len},
	};
	size_t total = control + header_len + chunk->len;
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = ARRAY_LEN(iov)};
	ssize_t n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL);

	if (n > 0)
		buf_consume(&conn->out, MIN((size_t)n, control));
	if (n > (ssize_t)control) {
		if (keep_rest(conn, iov + 1, (size_t)n - control) < 0) {
			conn_kill(conn, "out of memory");
			return true;
		}
		chan_taken(req, chunk);
		if (conn->state == CONN_DEAD)
			return true;
	}
	return sent(conn, n, total);
}

/* LEN bytes that lie in PIPE into the control queue.  0 or -errno. */
static int keep_piped(struct conn *conn, int pipe, size_t len)
{
	char *at = len ? buf_reserve(&conn->out, len) : NULL;

	if (len && !at)
		return -ENOBUFS;
	for (size_t got = 0; got < len;) {
		ssize_t n = read(pipe, at + got, len - got);

		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		got += (size_t)n;
	}
	if (len)
		buf_commit(&conn->out, len);
	return 0;
}

/* As send_data, with a payload that lies in a pipe: pages of a file, which are not copied at all. */
static bool send_piped(struct conn *conn, struct req *req, const struct chunk *chunk)
{
	char header[DATA_HEADER_MAX];
	size_t header_len = enc_data_header(header, req->id, chunk->channel, (uint32_t)chunk->len);
	size_t control = buf_len(&conn->out), begun, payload = 0;
	struct iovec iov[] = {
		{control ? buf_bytes(&conn->out) : NULL, control},
		{header, header_len},
	};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = ARRAY_LEN(iov)};
	ssize_t n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_MORE);

	if (n > 0)
		buf_consume(&conn->out, MIN((size_t)n, control));
	if (n <= (ssize_t)control)
		return sent(conn, n, control + header_len);
	begun = (size_t)n - control;
	while (begun == header_len && payload < chunk->len) {
		/* That the peer is gone shows here as anywhere: SIGPIPE is ignored (main.c). */
		n = splice(
			chunk->pipe, NULL, conn->fd, NULL, chunk->len - payload, SPLICE_F_NONBLOCK);
		if (n <= 0)
			break;
		payload += (size_t)n;
	}
	if (buf_add(&conn->out, header + begun, header_len - begun) < 0 ||
		keep_piped(conn, chunk->pipe, chunk->len - payload) < 0) {
		conn_kill(conn, "cannot finish a message that it has begun");
		return true;
	}
	chan_taken(req, chunk);
	if (conn->state == CONN_DEAD)
		return true;
	return sent(conn, (ssize_t)(begun + payload), header_len + chunk->len);
}

/* A small data message into the control queue, so that many share one write. */
static void gather(struct conn *conn, struct req *req, const struct chunk *chunk)
{
	char header[DATA_HEADER_MAX];
	size_t n = enc_data_header(header, req->id, chunk->channel, (uint32_t)chunk->len);

	if (buf_add(&conn->out, header, n) < 0 ||
		(chunk->piped ? keep_piped(conn, chunk->pipe, chunk->len)
			      : buf_add(&conn->out, chunk->bytes, chunk->len)) < 0) {
		conn_kill(conn, "out of memory");
		return;
	}
	chan_taken(req, chunk);
}

/* Large responses that waited for room. */
static void answer(struct conn *conn)
{
	while (conn->state == CONN_OPEN && buf_len(&conn->out) < OUT_HIGH &&
		!list_empty(&conn->replies)) {
		struct req *req = LIST_FIRST(&conn->replies, struct req, reply_link);

		list_del(&req->reply_link);
		req->reply_fn(req);
	}
}

static void flush(struct conn *conn)
{
	size_t budget = FLUSH_BUDGET;

	while (conn->state != CONN_DEAD && !conn->blocked) {
		struct req *req;
		struct chunk chunk;

		answer(conn);
		req = LIST_FIRST(&conn->sendable, struct req, chan.link);
		if (req && buf_len(&conn->out) < GATHER_MAX) {
			if (!chan_pull(req, &chunk))
				continue;
			if (budget < chunk.len) { /* the others first */
				ev_io_start(loop_ev(), &conn->writable);
				return;
			}
			budget -= chunk.len;
			if (chunk.len <= SMALL_DATA)
				gather(conn, req, &chunk);
			else if (chunk.piped ? send_piped(conn, req, &chunk)
					     : send_data(conn, req, &chunk))
				return;
		} else if (buf_len(&conn->out) == 0 || send_control(conn)) {
			return;
		}
	}
}

static void on_turn_end(struct turn *turn)
{
	struct conn *conn = CONTAINER_OF(turn, struct conn, turn);

	if (conn->overflowed) {
		log_limited(LOG_ERROR, "conn", "output queue is full conn=%u", conn->number);
		conn_kill(conn, "output queue is full");
		return;
	}
	ev_timer_stop(loop_ev(), &conn->soon);
	flush(conn);
	if (conn->state == CONN_OPEN)
		read_on(conn);
}

static void on_writable(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct conn *conn = CONTAINER_OF(w, struct conn, writable);

	(void)revents;
	conn->blocked = false;
	ev_io_stop(ev, w);
	conn_flush_later(conn);
}

static void on_starved(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct conn *conn = CONTAINER_OF(w, struct conn, starved);

	(void)revents;
	conn->blocked = false;
	ev_timer_stop(ev, w);
	conn_flush_later(conn);
}

/* Time */

static bool linger_done(const struct conn *conn)
{
	ev_tstamp waited = loop_now() - conn->linger_since;
	int unread = 0;

	if (waited > LINGER_MAX)
		return true;
	if (buf_len(&conn->out))
		return false;
	if (ioctl(conn->fd, SIOCOUTQ, &unread) < 0)
		return waited > LINGER_BLIND;
	return unread == 0;
}

static void on_watch(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct conn *conn = CONTAINER_OF(w, struct conn, watch);
	struct pollfd p = {.fd = conn->fd, .events = POLLRDHUP};

	(void)ev, (void)revents;
	if (conn->state == CONN_LINGERING ? linger_done(conn) : poll(&p, 1, 0) > 0)
		conn_kill(conn, "closed by the peer, or said goodbye");
}

static void send_keepalive(struct conn *conn)
{
	struct enc e;

	conn_message_begin(conn, &e);
	enc_array(&e, 3);
	enc_uint(&e, MSG_NOTIFICATION);
	enc_str(&e, "keepalive");
	enc_map_end(&e, enc_map_begin(&e), 0);
	conn_message_end(conn, &e);
}

/*
 * Does what the peer has sent lie unread?  After a stop of the whole agent its silence is ours.  Who has
 * no token yet could send for ever: once.
 */
static bool is_unheard(struct conn *conn)
{
	struct pollfd p = {.fd = conn->fd, .events = POLLIN};
	bool again = conn->reprieved && !conn->authorized;

	conn->reprieved = !again && !conn->paused && poll(&p, 1, 0) > 0 && (p.revents & POLLIN);
	return conn->reprieved;
}

static void on_alive(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct conn *conn = CONTAINER_OF(w, struct conn, alive);
	ev_tstamp now = loop_now(), next;
	/* While we do not read, what the peer takes is its sign of life. */
	ev_tstamp heard = conn->paused ? MAX(conn->last_in, conn->last_out) : conn->last_in;

	(void)revents;
	if ((!conn->authorized || now - heard >= 3 * conn->keepalive) && is_unheard(conn)) {
		w->repeat = REPRIEVE;
		ev_timer_again(ev, w);
		return;
	}
	if (!conn->authorized || conn->refused) {
		conn_goodbye(conn, ERR_UNAUTHORIZED, "no hello with the right token in time");
		return;
	}
	if (now - heard >= 3 * conn->keepalive) {
		conn_kill(conn, "silent for three keepalive intervals");
		return;
	}
	if (now - conn->last_out >= conn->keepalive && buf_len(&conn->out) == 0) {
		send_keepalive(conn);
		conn->last_out = now;
	}
	next = MIN(conn->last_out + conn->keepalive, heard + 3 * conn->keepalive) - now;
	/* Never at once again: with unsent output last_out stands still. */
	w->repeat = MAX(next, conn->keepalive / 10);
	ev_timer_again(ev, w);
}

void conn_set_keepalive(struct conn *conn, ev_tstamp interval)
{
	conn->keepalive = interval;
	conn->alive.repeat = interval;
	ev_timer_again(loop_ev(), &conn->alive); /* a repeat of 0 stops it */
}

void conn_set_window(struct conn *conn, uint64_t window)
{
	conn->credit_mode = window > 0;
	conn->window = window;
	if (window)
		return;
	list_each(link, &conn->reqs)
		chan_uncount(CONTAINER_OF(link, struct req, link));
}

void conn_set_authorized(struct conn *conn)
{
	conn->authorized = true;
	conn_set_keepalive(conn, conn->keepalive);
}

/* Birth */

/*
 * A Unix socket takes the pages themselves.  One of vsock copies them, page by page in kernels before
 * 6.5 (sock_no_sendpage): that costs more than a read and a send of large blocks.
 */
static bool is_local(int fd)
{
	int domain;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

/* False: all places are taken by who needs them. */
static bool make_room(void)
{
	struct conn *conn = conns.n >= MAX_CONNECTIONS ? crowd_least_missed(&conns.all) : NULL;

	if (conn)
		conn_goodbye(conn, ERR_LIMIT, "unused for long, and another needed its place");
	return conn || conns.n < MAX_CONNECTIONS;
}

void conn_new(int fd, bool need_token, uint32_t max_frame)
{
	struct conn *conn = xcalloc(1, sizeof(*conn));

	conn->refused = !make_room();
	conn->fd = fd;
	conn->number = ++conns.number;
	conn->authorized = !need_token;
	conn->max_frame = conn->first_max_frame = max_frame;
	conn->local = is_local(fd);
	conn->last_in = conn->last_out = loop_now();
	frame_init(&conn->in, conn->max_frame);
	buf_init(&conn->out, OUT_MAX);
	list_init(&conn->sendable);
	list_init(&conn->replies);
	list_init(&conn->reqs);
	list_init(&conn->watches);
	list_add_tail(&conns.all, &conn->link);
	conns.n++;
	turn_init(&conn->turn, on_turn_end);
	ev_io_init(&conn->readable, on_readable, fd, EV_READ);
	ev_io_init(&conn->writable, on_writable, fd, EV_WRITE);
	ev_init(&conn->soon, on_soon);
	conn->soon.repeat = FLUSH_SOON;
	ev_init(&conn->starved, on_starved);
	conn->starved.repeat = STARVED_PAUSE;
	ev_init(&conn->alive, on_alive);
	ev_init(&conn->watch, on_watch);
	ev_io_start(loop_ev(), &conn->readable);
	log_debug("conn", "opened conn=%u", conn->number);
	if (conns.n > MAX_CONNECTIONS + MAX_REFUSED) {
		conn_kill(conn, "max_connections is reached");
	} else if (need_token || conn->refused) {
		conn->alive.repeat = TOKEN_DEADLINE;
		ev_timer_again(loop_ev(), &conn->alive);
	}
}
