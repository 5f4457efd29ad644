/* net/tunnel.c - a call's bytes to and from a socket */
#include "net/tunnel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/mem.h"
#include "guestd/activity.h"
#include "guestd/conn.h"
#include "guestd/req.h"
#include "proto/limits.h"

/*
 * Unread input of one call: a connection is not read above INPUT_HIGH, in credit mode a call has
 * INPUT_WINDOW, and what one read brought is taken in any case.
 */
#define QUEUE_MAX (MAX_FRAME + INPUT_HIGH + INPUT_WINDOW + TUNNEL_CREDIT)

static unsigned n_tunnels;
static size_t granted; /* beyond INPUT_WINDOW, to all of them */

/*
 * All read into this one, which stays in the cache, and as a rule it is on its way before the next
 * read.  What a connection did not take is moved out when another tunnel reads: that is one message
 * for each connection at most, because it is asked no further then.
 */
static char shared[MAX_DATA];
static struct tunnel *holder; /* of what lies in there */

static void make_room(void)
{
	struct tunnel *t = holder;

	holder = NULL;
	if (!t)
		return;
	t->own = xmalloc(t->n_pulled);
	memcpy(t->own, t->pulled, t->n_pulled);
	t->pulled = t->own;
}

static void drop_pulled(struct tunnel *t)
{
	if (holder == t)
		holder = NULL;
	free(t->own);
	t->own = NULL;
	t->pulled = NULL;
	t->n_pulled = 0;
}

/* The end */

static void reset_peer(int fd)
{
	const struct linger reset = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
}

static struct req *tunnel_end(struct tunnel *t)
{
	struct req *req = t->req;

	ev_io_stop(loop_ev(), &t->readable);
	ev_io_stop(loop_ev(), &t->writable);
	if (t->fd >= 0 && !t->shut)
		reset_peer(t->fd);
	fd_close(&t->fd);
	drop_pulled(t);
	buf_fini(&t->queue);
	n_tunnels--;
	granted -= t->granted;
	t->over(t); /* T is no more */
	return req;
}

void tunnel_refuse(struct tunnel *t, const struct failure *f)
{
	req_fail_with(tunnel_end(t), f);
}

static void answer_error(struct tunnel *t)
{
	struct failure f;
	/* How the kernel calls a reset depends on what was closed before. */
	int err = t->err == -EPIPE ? -ECONNRESET : t->err;

	failure_set(&f, err, t->stage, NULL,
		err == -ECONNRESET
			? "the peer reset the connection; %llu bytes were sent, %llu received"
			: "the connection broke; %llu bytes were sent, %llu received",
		(unsigned long long)t->sent, (unsigned long long)t->received);
	tunnel_refuse(t, &f);
}

static void answer(struct req *req)
{
	struct tunnel *t = req->chan.owner;
	uint64_t sent = t->sent, received = t->received;
	struct enc e;

	if (t->err) {
		answer_error(t);
		return;
	}
	tunnel_end(t);
	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 2);
	enc_kv_uint(&e, "sent", sent);
	enc_kv_uint(&e, "received", received);
	req_reply_end(req, &e);
}

/*
 * Later, because this is called from inside of what still holds the request.  After an error in
 * writing, what the peer said before is still read: it may be why.
 */
static void check_over(struct tunnel *t)
{
	if (t->peer_ended && !t->n_pulled && (t->shut || t->err) && list_empty(&t->req->reply_link))
		req_reply_later(t->req, answer);
}

/* To the socket */

static void writing_failed(struct tunnel *t, int err)
{
	size_t left = buf_len(&t->queue);

	if (!t->err) {
		t->err = err;
		t->stage = "write";
	}
	ev_io_stop(loop_ev(), &t->writable);
	buf_clear(&t->queue);
	if (left)
		chan_consumed(t->req, left);
	check_over(t);
}

/* Bytes that it takes now; 0 after an error too, which t->err tells. */
static size_t push(struct tunnel *t, const char *bytes, size_t len)
{
	ssize_t n = send(t->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		writing_failed(t, -errno);
	if (n <= 0)
		return 0;
	t->sent += (uint64_t)n;
	activity_tunnel((uint64_t)n);
	return (size_t)n;
}

static void pass_end(struct tunnel *t)
{
	if (!t->client_ended || t->shut || t->err || t->fd < 0 || buf_len(&t->queue))
		return;
	shutdown(t->fd, SHUT_WR); /* of a connection that is reset: reading tells */
	t->shut = true;
	check_over(t);
}

static void on_writable(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct tunnel *t = CONTAINER_OF(w, struct tunnel, writable);
	size_t n = push(t, buf_bytes(&t->queue), buf_len(&t->queue));

	(void)revents;
	if (n) {
		buf_consume(&t->queue, n);
		chan_consumed(t->req, n);
	}
	if (buf_len(&t->queue) == 0)
		ev_io_stop(ev, w);
	pass_end(t);
}

static void tunnel_data(void *owner, unsigned channel, const char *bytes, size_t len)
{
	struct tunnel *t = owner;
	size_t n = 0;

	if (channel != CHANNEL_IN || t->err) {
		chan_consumed(t->req, len);
		return;
	}
	if (t->fd >= 0 && buf_len(&t->queue) == 0)
		n = push(t, bytes, len);
	if (t->err)
		n = len; /* dropped */
	if (n)
		chan_consumed(t->req, n);
	if (n == len)
		return;
	if (buf_add(&t->queue, bytes + n, len - n) < 0)
		conn_goodbye(
			t->req->conn, ERR_LIMIT, "max_unread_input: the peer reads nothing of it");
	else if (t->fd >= 0)
		ev_io_start(loop_ev(), &t->writable);
}

static void tunnel_eof(void *owner)
{
	struct tunnel *t = owner;

	t->client_ended = true;
	pass_end(t);
}

/* From the socket */

static void reading_ended(struct tunnel *t, int err)
{
	t->peer_ended = true;
	if (err && !t->err) {
		t->err = err;
		t->stage = "read";
	}
	if (!err)
		chan_end(t->req, CHANNEL_OUT);
	check_over(t);
}

static void on_readable(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct tunnel *t = CONTAINER_OF(w, struct tunnel, readable);
	char byte;

	(void)revents;
	ev_io_stop(ev, w); /* until the client has taken what is there */
	/* The end needs no credit. */
	if (!t->req->chan.credit && recv(t->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
		reading_ended(t, 0);
	else
		chan_ready(t->req);
}

static bool tunnel_pull(void *owner, size_t max, struct chunk *chunk)
{
	struct tunnel *t = owner;
	ssize_t n;

	if (!t->n_pulled) {
		if (t->peer_ended || t->fd < 0)
			return false;
		if (t->dry) {
			t->dry = false;
			ev_io_start(loop_ev(), &t->readable);
			return false;
		}
		make_room();
		n = recv(t->fd, shared, MIN(max, sizeof(shared)), MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
			ev_io_start(loop_ev(), &t->readable);
			return false;
		}
		if (n <= 0) {
			reading_ended(t, n < 0 ? -errno : 0);
			return false;
		}
		holder = t;
		t->pulled = shared;
		t->n_pulled = (size_t)n;
		/* A message or two, not a flood: what follows is worth a wait, not another look. */
		t->dry = n < (ssize_t)SMALL_DATA && (size_t)n < max;
	}
	*chunk = (struct chunk){
		.channel = CHANNEL_OUT, .bytes = t->pulled, .len = MIN(max, t->n_pulled)};
	return true;
}

static void tunnel_taken(void *owner, const struct chunk *chunk)
{
	struct tunnel *t = owner;

	t->received += chunk->len;
	activity_tunnel(chunk->len);
	t->pulled += chunk->len;
	t->n_pulled -= chunk->len;
	if (t->n_pulled)
		return;
	drop_pulled(t);
	if (!t->req->chan.credit)
		ev_io_start(loop_ev(), &t->readable); /* it may be at its end */
}

static void tunnel_cancel(void *owner)
{
	struct failure f;

	failure_set(&f, ERR_CANCELED, NULL, NULL, "canceled: the connection is cut");
	tunnel_refuse(owner, &f);
}

static void tunnel_gone(void *owner)
{
	tunnel_end(owner);
}

static const struct chan_ops chan_ops = {
	.pull = tunnel_pull,
	.taken = tunnel_taken,
	.data = tunnel_data,
	.eof = tunnel_eof,
	.cancel = tunnel_cancel,
	.gone = tunnel_gone,
};

int tunnel_open(struct tunnel *t, struct req *req, struct failure *f)
{
	if (n_tunnels == MAX_TUNNELS)
		return failure_set(f, ERR_LIMIT, NULL, NULL,
			"max_tunnels (%u) calls are open already", MAX_TUNNELS);
	n_tunnels++;
	t->req = req;
	t->fd = -1;
	buf_init(&t->queue, QUEUE_MAX);
	ev_init(&t->readable, on_readable);
	ev_init(&t->writable, on_writable);
	chan_open(req, &chan_ops, t);
	return 0;
}

void tunnel_start(struct tunnel *t, int fd)
{
	t->fd = fd;
	if (t->req->conn->credit_mode && granted + TUNNEL_CREDIT <= TUNNEL_CREDIT_TOTAL) {
		t->granted = TUNNEL_CREDIT;
		granted += TUNNEL_CREDIT;
		chan_grant(t->req, TUNNEL_CREDIT);
	}
	ev_io_set(&t->readable, fd, EV_READ);
	ev_io_set(&t->writable, fd, EV_WRITE);
	ev_io_start(loop_ev(), &t->readable);
	if (buf_len(&t->queue))
		ev_io_start(loop_ev(), &t->writable);
	pass_end(t);
}
