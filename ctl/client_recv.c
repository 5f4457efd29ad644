/* ctl/client_recv.c - a connection to an agent: what comes in, and waiting for it */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "ctl/client_impl.h"
#include "proto/version.h"

short client_events(const struct client *c)
{
	return client_unsent(c) ? POLLIN | POLLOUT : POLLIN;
}

/* The message handed out last is done with: what it held is freed, and granted again. */
static void release(struct client *c)
{
	struct client_call *call = c->handed;

	client_parse_fini(&c->parse);
	c->handed = NULL;
	if (!call || !c->window || call->manual_credit)
		return;
	call->unpaid += (uint32_t)c->handed_len;
	/* In halves of the window: few messages, and the agent never runs dry meanwhile. */
	if (call->unpaid >= (c->window + 1) / 2 && client_credit(c, call->id, call->unpaid) == 0)
		call->unpaid = 0;
}

static void hear_goodbye(struct client *c, const struct client_msg *msg)
{
	const char *text;
	size_t len;

	if (strcmp(msg->name, "goodbye") != 0 ||
		!val_bytes(val_get(msg->params, "message"), &text, &len))
		return;
	client_fail(
		c, 0, "the agent ended the connection: %.*s", (int)MIN(len, sizeof(c->why)), text);
	c->goodbye = true;
}

/* Keeps the books of the call that MSG belongs to. */
static void account(struct client *c, const struct client_msg *msg)
{
	struct client_call *call = client_find(c, msg->id);

	if (msg->type == MSG_NOTIFICATION)
		hear_goodbye(c, msg);
	if (!call)
		return;
	if (msg->type == MSG_DATA) {
		c->handed = call;
		c->handed_len = msg->len;
	} else if (msg->type == MSG_CREDIT && c->window) {
		call->room += msg->credit;
	} else if (msg->type == MSG_RESPONSE) {
		call->id = 0;
		c->n_calls--;
	}
}

/* The next message of what was received: 1, 0 or -errno. */
static int next_received(struct client *c, struct client_msg *msg)
{
	const char *body;
	size_t len;
	int r;

	while ((r = frame_next(&c->in, &body, &len)) == 1) {
		r = client_parse(&c->parse, body, len, msg);
		if (r < 0)
			return client_fail(
				c, r, "the agent sent no valid message: %s", c->parse.why);
		if (r == 0)
			continue;
		account(c, msg);
		return 1;
	}
	return r ? client_fail(c, -EBADMSG, "the agent broke the framing: %s", c->in.why) : 0;
}

/* Bytes that came, 0 when none are there, or -errno. */
static int receive(struct client *c, bool wait)
{
	ssize_t n = recv(c->fd, c->chunk, READ_CHUNK, wait ? 0 : MSG_DONTWAIT);

	if (n > 0) {
		frame_push(&c->in, c->chunk, (size_t)n);
		return (int)n;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0 && errno != ECONNRESET)
		return client_fail(c, -errno, "cannot receive from the agent: %s", strerror(errno));
	if (!c->goodbye)
		client_fail(c, 0, "the agent closed the connection");
	return -ECONNRESET;
}

static uint64_t end_us(int timeout_ms)
{
	return timeout_ms > 0 ? clock_mono_us() + (uint64_t)timeout_ms * 1000 : 0;
}

/* What of TIMEOUT_MS is left until END; never that of none or of no limit. */
static int left_ms(int timeout_ms, uint64_t end)
{
	uint64_t now = timeout_ms > 0 ? clock_mono_us() : 0;

	if (timeout_ms <= 0)
		return timeout_ms;
	return now < end ? (int)((end - now + 999) / 1000) : 0;
}

/* Until the socket is readable or, with output queued, writable.  1, 0 without waiting, -errno. */
static int wait_ready(struct client *c, int timeout_ms)
{
	struct pollfd p = {.fd = c->fd, .events = client_events(c)};

	if (timeout_ms == 0)
		return 0;
	if (poll(&p, 1, timeout_ms) >= 0 || errno == EINTR)
		return 1;
	return client_fail(c, -errno, "cannot wait for the agent: %s", strerror(errno));
}

/* Waits and reads once: 1 to go on, 0 when the time is over, or -errno. */
static int more(struct client *c, int timeout_ms, uint64_t end)
{
	/* With nothing to send, recv(2) can do the waiting. */
	bool block = timeout_ms < 0 && client_unsent(c) == 0;
	int n, r = block ? 1 : wait_ready(c, left_ms(timeout_ms, end));

	if (r < 0 || (r == 0 && timeout_ms))
		return r;
	n = receive(c, block);
	return n ? n : r;
}

int client_next(struct client *c, int timeout_ms, struct client_msg *msg)
{
	bool full = client_unsent(c) >= CLIENT_OUT_HIGH;
	uint64_t end = end_us(timeout_ms);
	int r;

	ASSERT(!c->begun);
	release(c);
	do {
		r = next_received(c, msg);
		if (r)
			return r;
		r = client_flush(c);
		if (r < 0 || (full && client_unsent(c) < CLIENT_OUT_HIGH))
			return r;
		r = more(c, timeout_ms, end);
	} while (r > 0);
	return r;
}

int client_response(struct client *c, uint32_t id, int timeout_ms, struct client_msg *msg)
{
	uint64_t end = end_us(timeout_ms);

	for (;;) {
		int left = left_ms(timeout_ms, end);
		int r = client_next(c, left, msg);

		if (r < 0)
			return r;
		if (r == 1 && msg->type == MSG_RESPONSE && msg->id == id)
			return 0;
		if (r == 0 && left == 0)
			return client_fail(c, -ETIMEDOUT, "no answer within %d ms", timeout_ms);
	}
}

static void encode_hello(struct client *c, const struct client_hello *hello, uint32_t *id)
{
	struct enc *e = client_begin(c, "hello", id);
	size_t n = 3, mark = enc_map_begin(e);

	enc_kv_uint(e, "protocol", PROTOCOL_VERSION);
	enc_kv_str(e, "client", hello->name);
	enc_kv_uint(e, "window", hello->window);
	if (hello->token) {
		enc_kv_bin(e, "token", hello->token, hello->token_len);
		n++;
	}
	enc_map_end(e, mark, n);
}

static uint32_t result_u32(const struct val *result, const char *key, uint32_t dflt)
{
	uint64_t v;

	return val_uint(val_get(result, key), &v) && v <= UINT32_MAX ? (uint32_t)v : dflt;
}

int client_hello(
	struct client *c, const struct client_hello *hello, int timeout_ms, struct client_msg *msg)
{
	uint32_t id;
	int err;

	encode_hello(c, hello, &id);
	err = client_send(c);
	if (!err)
		err = client_response(c, id, timeout_ms, msg);
	if (err || msg->error)
		return err;
	c->window = hello->window;
	c->peer_window = result_u32(msg->result, "window", 0);
	c->max_frame = result_u32(msg->result, "max_frame", c->max_frame);
	return 0;
}
