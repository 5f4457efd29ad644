/*
 * ctl/client.c - a connection to an agent: calls, credit and output
 *
 * What arrives and when to wait for it is client_recv.c.
 */
#include "ctl/client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ctl/client_impl.h"
#include "vsock/dial.h"

int client_fail(struct client *c, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
	return err;
}

struct client *client_new(int fd)
{
	struct client *c = xcalloc(1, sizeof(*c));

	c->fd = fd;
	c->max_frame = MAX_FRAME;
	buf_init(&c->out, OUT_MAX);
	frame_init(&c->in, MAX_FRAME);
	c->chunk = xmalloc(READ_CHUNK);
	return c;
}

int client_connect(
	const char *endpoint, int timeout_ms, struct client **out, char *why, size_t why_len)
{
	struct endpoint ep;
	int fd = endpoint_parse(endpoint, &ep, why, why_len);

	if (fd == 0)
		fd = dial(&ep, timeout_ms, why, why_len);
	if (fd < 0)
		return fd;
	*out = client_new(fd);
	return 0;
}

void client_close(struct client *c)
{
	if (!c)
		return;
	fd_close(&c->fd);
	client_parse_fini(&c->parse);
	frame_fini(&c->in);
	buf_fini(&c->out);
	free(c->chunk);
	free(c);
}

int client_fd(const struct client *c)
{
	return c->fd;
}

const char *client_why(const struct client *c)
{
	return c->why;
}

size_t client_unsent(const struct client *c)
{
	return buf_len(&c->out);
}

unsigned client_open_calls(const struct client *c)
{
	return c->n_calls;
}

/* An id is a slot and, above it, a number that rises: a late message meets no wrong call. */
BUILD_ASSERT((MAX_CALLS & (MAX_CALLS - 1)) == 0);

struct client_call *client_find(const struct client *c, uint32_t id)
{
	const struct client_call *call = &c->calls[id % MAX_CALLS];

	return id && call->id == id ? (struct client_call *)call : NULL;
}

static struct client_call *take_slot(struct client *c)
{
	if (c->n_calls == MAX_CALLS)
		return NULL;
	while (c->calls[c->next_slot % MAX_CALLS].id)
		c->next_slot++;
	return &c->calls[c->next_slot++ % MAX_CALLS];
}

static uint32_t make_id(struct client *c, const struct client_call *call)
{
	c->serial = (c->serial + 1) % (UINT32_MAX / MAX_CALLS);
	return (c->serial + 1) * MAX_CALLS + (uint32_t)(call - c->calls);
}

struct enc *client_begin(struct client *c, const char *method, uint32_t *id)
{
	ASSERT(!c->begun);
	c->begun = true;
	c->begun_call = take_slot(c);
	c->begun_id = *id = c->begun_call ? make_id(c, c->begun_call) : 0;
	enc_frame_begin(&c->enc, &c->out);
	enc_array(&c->enc, 4);
	enc_uint(&c->enc, MSG_REQUEST);
	enc_uint(&c->enc, c->begun_id);
	enc_str(&c->enc, method);
	return &c->enc;
}

/* Room of a call while there are no credits. */
#define NO_LIMIT UINT64_MAX

int client_send(struct client *c)
{
	struct client_call *call = c->begun_call;
	/* A limit of 0 undoes what was encoded. */
	int err = enc_frame_end(&c->enc, call ? c->max_frame : 0);

	ASSERT(c->begun);
	c->begun = false;
	if (!call)
		return client_fail(c, -EMFILE, "%u calls are open, and no more can be", MAX_CALLS);
	if (err == -EMSGSIZE)
		return client_fail(c, err,
			"the request is longer than the %u bytes that the agent takes",
			c->max_frame);
	if (err)
		return client_fail(c, err, "the request does not fit into the output queue");
	*call = (struct client_call){
		.id = c->begun_id,
		.room = c->window ? c->peer_window : NO_LIMIT,
	};
	c->n_calls++;
	return 0;
}

int client_request(struct client *c, const char *method, uint32_t *id)
{
	enc_nil(client_begin(c, method, id));
	return client_send(c);
}

/* A message of up to four small integers: TYPE, and then N values. */
static int send_ints(struct client *c, enum msg_type type, size_t n, const uint32_t *v)
{
	struct enc e;

	ASSERT(!c->begun);
	enc_frame_begin(&e, &c->out);
	enc_array(&e, n + 1);
	enc_uint(&e, type);
	for (size_t i = 0; i < n; i++)
		enc_uint(&e, v[i]);
	if (enc_frame_end(&e, c->max_frame))
		return client_fail(c, -ENOBUFS, "the output queue is full");
	return 0;
}

int client_end(struct client *c, uint32_t id, unsigned channel)
{
	return send_ints(c, MSG_END, 2, (const uint32_t[]){id, channel});
}

int client_cancel(struct client *c, uint32_t id)
{
	return send_ints(c, MSG_CANCEL, 1, (const uint32_t[]){id});
}

int client_credit(struct client *c, uint32_t id, uint32_t n)
{
	return send_ints(c, MSG_CREDIT, 2, (const uint32_t[]){id, n});
}

void client_manual_credit(struct client *c, uint32_t id)
{
	struct client_call *call = client_find(c, id);

	if (call)
		call->manual_credit = true;
}

int client_keepalive(struct client *c)
{
	struct enc e;

	ASSERT(!c->begun);
	enc_frame_begin(&e, &c->out);
	enc_array(&e, 3);
	enc_uint(&e, MSG_NOTIFICATION);
	enc_str(&e, "keepalive");
	enc_map_end(&e, enc_map_begin(&e), 0);
	if (enc_frame_end(&e, c->max_frame))
		return client_fail(c, -ENOBUFS, "the output queue is full");
	return 0;
}

size_t client_room(const struct client *c, uint32_t id)
{
	const struct client_call *call = client_find(c, id);

	if (!call || client_unsent(c) >= CLIENT_OUT_HIGH)
		return 0;
	return (size_t)MIN(call->room, OUT_HIGH);
}

/* What the socket takes of N pieces, without waiting.  Bytes or -errno. */
static ssize_t send_pieces(struct client *c, struct iovec *piece, size_t n)
{
	struct msghdr m = {.msg_iov = piece, .msg_iovlen = n};
	ssize_t sent = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent >= 0)
		return sent;
	if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)
		return 0;
	if (errno == EPIPE || errno == ECONNRESET) {
		/* Its goodbye may still be there to be read, so reading tells the end. */
		c->send_broken = true;
		return 0;
	}
	return client_fail(c, -errno, "cannot send to the agent: %s", strerror(errno));
}

int client_flush(struct client *c)
{
	while (client_unsent(c) && !c->send_broken) {
		struct iovec piece = {.iov_base = buf_bytes(&c->out), .iov_len = client_unsent(c)};
		ssize_t n = send_pieces(c, &piece, 1);

		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		buf_consume(&c->out, (size_t)n);
	}
	if (c->send_broken)
		buf_clear(&c->out);
	return 0;
}

/* Queues what lies behind the first SKIP bytes of a header and a payload that go together. */
static int queue_rest(struct client *c, const struct iovec piece[2], size_t skip)
{
	for (size_t i = 0; i < 2; i++) {
		size_t gone = MIN(skip, piece[i].iov_len);
		const char *rest = (const char *)piece[i].iov_base + gone;

		skip -= gone;
		if (buf_add(&c->out, rest, piece[i].iov_len - gone) < 0)
			return client_fail(c, -ENOBUFS, "the output queue is full");
	}
	return 0;
}

/* One data message: gathered behind what is queued, and queued itself where it is not taken. */
static int send_data(struct client *c, uint32_t id, unsigned channel, const char *bytes, size_t len)
{
	char header[DATA_HEADER_MAX];
	size_t header_len = enc_data_header(header, id, channel, (uint32_t)len);
	size_t queued = client_unsent(c);
	struct iovec piece[3] = {
		{.iov_base = queued ? buf_bytes(&c->out) : NULL, .iov_len = queued},
		{.iov_base = header, .iov_len = header_len},
		{.iov_base = (char *)bytes, .iov_len = len},
	};
	ssize_t n;

	n = c->send_broken ? 0 : send_pieces(c, piece, ARRAY_LEN(piece));
	if (n < 0)
		return (int)n;
	buf_consume(&c->out, MIN((size_t)n, queued));
	return queue_rest(c, piece + 1, (size_t)n - MIN((size_t)n, queued));
}

int client_data(struct client *c, uint32_t id, unsigned channel, const void *bytes, size_t len)
{
	struct client_call *call = client_find(c, id);
	const char *p = bytes;

	if (!call)
		return 0;
	ASSERT(!c->begun && len <= client_room(c, id));
	if (call->room != NO_LIMIT)
		call->room -= len;
	while (len) {
		size_t n = MIN(len, MIN(MAX_DATA, c->max_frame - DATA_HEADER_MAX));
		int err = send_data(c, id, channel, p, n);

		if (err)
			return err;
		p += n;
		len -= n;
	}
	return 0;
}
