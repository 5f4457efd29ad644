/* guestd/req.c - one call, from its request to its one response */
#include "guestd/req.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "guestd/activity.h"
#include "guestd/conn.h"
#include "proto/limits.h"

/* What is told of a path where a client's frames are too short for more. */
#define SHORT_PATH 255

/* Parameters of all open calls of all connections. */
static size_t arena_total;

static struct req **bucket(struct conn *conn, uint32_t id)
{
	return &conn->by_id[id % CONN_REQ_BUCKETS];
}

struct req *req_find(struct conn *conn, uint32_t id)
{
	for (struct req *req = *bucket(conn, id); req; req = req->next) {
		if (req->id == id)
			return req;
	}
	return NULL;
}

struct req *req_new(struct conn *conn, uint32_t id, const struct method *m, size_t params_len,
	const char **limit)
{
	struct req *req;

	if (params_len > ARENA_CONN_MAX - MIN(conn->arena_bytes, ARENA_CONN_MAX)) {
		*limit = "max_params is reached by the open calls of this connection";
		return NULL;
	}
	*limit = "max_params_total is reached by all open calls and processes";
	if (params_len > ARENA_TOTAL_MAX - MIN(arena_total, ARENA_TOTAL_MAX))
		return NULL;
	req = xcalloc(1, sizeof(*req));
	req->params = arena_new(params_len);
	if (!req->params) {
		free(req);
		return NULL;
	}
	req->conn = conn;
	req->id = id;
	req->method = m;
	list_init(&req->chan.link);
	list_init(&req->reply_link);
	list_add_tail(&conn->reqs, &req->link);
	req->next = *bucket(conn, id);
	*bucket(conn, id) = req;
	conn->n_reqs++;
	if (!m->quiet)
		activity_call_begins();
	conn->arena_bytes += params_len;
	arena_total += params_len;
	return req;
}

struct arena *req_take_params(struct req *req)
{
	struct arena *params = req->params;

	req->params = NULL;
	req->conn->arena_bytes -= params->len;
	return params;
}

struct arena *params_new(size_t len)
{
	struct arena *params = arena_new(len);

	if (params)
		arena_total += params->len;
	return params;
}

void params_free(struct arena *params)
{
	if (!params)
		return;
	arena_total -= params->len;
	arena_free(params);
}

static void req_free(struct req *req)
{
	struct conn *conn = req->conn;
	struct req **at = bucket(conn, req->id);

	while (*at != req)
		at = &(*at)->next;
	*at = req->next;
	chan_fini(req);
	list_del(&req->reply_link);
	list_del(&req->link);
	conn->n_reqs--;
	if (!req->method->quiet)
		activity_call_ends();
	conn_flush_later(conn); /* its unread input no longer holds the connection back */
	if (req->params)
		params_free(req_take_params(req));
	free(req);
}

void req_drop(struct req *req)
{
	const struct chan_ops *ops = req->chan.ops;

	if (ops)
		ops->gone(req->chan.owner);
	req_free(req);
}

void req_reply_begin(struct req *req, struct enc *e)
{
	enc_frame_begin(e, &req->conn->out);
	enc_array(e, 4);
	enc_uint(e, MSG_RESPONSE);
	enc_uint(e, req->id);
	enc_nil(e);
}

int req_try_reply_end(struct req *req, struct enc *e)
{
	int err = enc_frame_end(e, req->conn->max_frame);

	if (err)
		return err;
	conn_flush_later(req->conn);
	req_free(req);
	return 0;
}

void req_reply_end(struct req *req, struct enc *e)
{
	if (req_try_reply_end(req, e))
		req_fail(req, ERR_LIMIT, "the result is longer than max_frame (%u)",
			req->conn->max_frame);
}

static int try_error(struct conn *conn, uint32_t id, const struct failure *f)
{
	struct enc e;
	int err;

	conn_message_begin(conn, &e);
	enc_array(&e, 4);
	enc_uint(&e, MSG_RESPONSE);
	enc_uint(&e, id);
	failure_encode(f, &e);
	enc_nil(&e);
	err = enc_frame_end(&e, conn->max_frame);
	conn_flush_later(conn);
	return err;
}

void respond_error(struct conn *conn, uint32_t id, const struct failure *f)
{
	int err = try_error(conn, id, f);
	struct failure cut;

	if (err == -EMSGSIZE) {
		/* A frame holds MIN_FRAME bytes at least: all but a long path and what it tells more. */
		cut = *f;
		cut.data = NULL;
		cut.path[SHORT_PATH] = '\0';
		err = try_error(conn, id, &cut);
	}
	if (err)
		conn->overflowed = true;
}

void req_fail_with(struct req *req, const struct failure *f)
{
	log_debug("req", "failed conn=%u id=%u method=%s code=%s", req->conn->number, req->id,
		req->method->name, err_name(f->err));
	respond_error(req->conn, req->id, f);
	req_free(req);
}

void req_fail(struct req *req, int err, const char *fmt, ...)
{
	struct failure f = {.err = err};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(f.message, sizeof(f.message), fmt, ap);
	va_end(ap);
	req_fail_with(req, &f);
}

void req_reply_later(struct req *req, void (*fn)(struct req *req))
{
	ASSERT(list_empty(&req->reply_link));
	req->reply_fn = fn;
	list_add_tail(&req->conn->replies, &req->reply_link);
	conn_flush_later(req->conn);
}
