/*
 * guestd/dispatch.c - a message of the peer finds its call
 *
 * The gates before a method runs stand here, in one order: shape, token, name, policy, limits,
 * parameters.  Behind them nothing trivial can fail.
 */
#include <stdio.h>

#include "base/log.h"
#include "guestd/audit.h"
#include "guestd/conn.h"
#include "guestd/frozen.h"
#include "guestd/loop.h"
#include "guestd/req.h"
#include "guestd/steps.h"
#include "guestd/work.h"
#include "proto/limits.h"
#include "proto/scan.h"

/* Answers request ID, which has no struct yet, with an error. */
static void refuse(struct conn *conn, uint32_t id, int err, const char *why)
{
	struct failure f;

	failure_set(&f, err, NULL, NULL, "%s", why);
	respond_error(conn, id, &f);
}

static void start_call(
	struct conn *conn, uint32_t id, const struct method *m, const struct span *params)
{
	static const struct arg no_args[] = {ARG_END};
	const struct arg *table = m->args ? m->args : no_args;
	const char *limit;
	char why[200];
	struct req *req;
	void *args;
	int err;

	req = req_new(conn, id, m, m->args_size + 16 + args_size(table, params), &limit);
	if (!req) {
		refuse(conn, id, ERR_LIMIT, limit);
		return;
	}
	req->params->secret = m->secret;
	conn->heard_secret |= m->secret;
	args = arena_alloc(req->params, m->args_size);
	ASSERT(args);
	err = args_decode(table, params, args, req->params, why, sizeof(why));
	if (err) {
		req_fail(req, err, "%s", why);
		return;
	}
	req->args = args;
	if (m->changes || m->writes)
		audit(req);
	if (m->steps)
		steps_start(req, args);
	else if (m->work)
		work_start(req, args);
	else
		m->call(req, args);
}

static void on_request(struct conn *conn, uint32_t id, const struct scan *scan)
{
	static const struct span none = {"\xc0", 1, 1};
	const struct method *m;
	const char *name;
	char why[128];
	size_t len;

	if (scan->n_parts < 3 || scan->n_parts > 4 || !span_bytes(&scan->part[2], &name, &len)) {
		refuse(conn, id, ERR_BAD_REQUEST, "a request is [0, id, method, params]");
		return;
	}
	m = method_find(name, len);
	if (!conn->authorized && !(m && m->before_auth)) {
		refuse(conn, id, ERR_UNAUTHORIZED, "say hello with the token first");
	} else if (!m) {
		snprintf(why, sizeof(why), "no method %.*s: system.methods lists them",
			(int)MIN(len, 64), name);
		refuse(conn, id, ERR_UNKNOWN_METHOD, why);
	} else if (method_disabled(m)) {
		snprintf(why, sizeof(why), "%s is switched off by the policy of this image",
			m->name);
		refuse(conn, id, ERR_DISABLED, why);
	} else if (m->writes && guest_is_frozen()) {
		refuse(conn, id, ERR_FROZEN, "the guest is frozen: try again after system.thaw");
	} else if (req_find(conn, id)) {
		refuse(conn, id, ERR_BAD_REQUEST, "a call with this id is still open");
	} else if (conn->n_reqs >= MAX_CALLS) {
		refuse(conn, id, ERR_LIMIT, "max_calls is reached on this connection");
	} else {
		start_call(conn, id, m, scan->n_parts == 4 ? &scan->part[3] : &none);
	}
}

static void on_data(struct conn *conn, uint32_t id, const struct scan *scan)
{
	struct req *req = req_find(conn, id);
	const char *bytes;
	uint64_t channel;
	size_t len;

	if (scan->n_parts != 4 || !span_uint(&scan->part[2], &channel) ||
		!span_bytes(&scan->part[3], &bytes, &len)) {
		conn_goodbye(conn, ERR_PROTOCOL, "data is [3, id, channel, bin]");
	} else if (len > MAX_DATA) {
		conn_goodbye(conn, ERR_PROTOCOL, "a data message carries at most 64 KiB");
	} else if (req && req->chan.ops) {
		chan_input(req, (unsigned)MIN(channel, UINT8_MAX), bytes, len);
	}
}

static void on_end(struct conn *conn, uint32_t id, const struct scan *scan)
{
	struct req *req = req_find(conn, id);
	uint64_t channel;

	if (scan->n_parts != 3 || !span_uint(&scan->part[2], &channel))
		conn_goodbye(conn, ERR_PROTOCOL, "an end is [4, id, channel]");
	else if (req && req->chan.ops)
		chan_input_end(req, (unsigned)MIN(channel, UINT8_MAX));
}

static void on_credit(struct conn *conn, uint32_t id, const struct scan *scan)
{
	struct req *req = req_find(conn, id);
	uint64_t n;

	if (scan->n_parts != 3 || !span_uint(&scan->part[2], &n))
		conn_goodbye(conn, ERR_PROTOCOL, "credit is [6, id, n]");
	else if (req)
		chan_add_credit(req, n);
}

static void on_cancel(struct conn *conn, uint32_t id, const struct scan *scan)
{
	struct req *req = req_find(conn, id);

	if (scan->n_parts != 2)
		conn_goodbye(conn, ERR_PROTOCOL, "a cancel is [7, id]");
	else if (req)
		chan_cancel(req);
}

void dispatch(struct conn *conn, const char *body, size_t len)
{
	struct scan scan;
	uint64_t type, id;

	if (scan_message(body, len, &scan)) {
		conn_goodbye(conn, ERR_PROTOCOL, scan.why);
		return;
	}
	if (scan.n_parts < 2 || !span_uint(&scan.part[0], &type)) {
		conn_goodbye(conn, ERR_PROTOCOL, "a message starts with its type and an id");
		return;
	}
	/* The only notification of a client is keepalive: being heard is all it wants. */
	if (type == MSG_NOTIFICATION)
		return;
	if (type != MSG_CREDIT)
		conn->last_asked = loop_now();
	if (!span_uint(&scan.part[1], &id) || id > UINT32_MAX) {
		conn_goodbye(conn, ERR_PROTOCOL, "an id is an unsigned 32-bit number");
		return;
	}
	switch (type) {
	case MSG_REQUEST:
		on_request(conn, (uint32_t)id, &scan);
		break;
	case MSG_DATA:
		on_data(conn, (uint32_t)id, &scan);
		break;
	case MSG_END:
		on_end(conn, (uint32_t)id, &scan);
		break;
	case MSG_CREDIT:
		on_credit(conn, (uint32_t)id, &scan);
		break;
	case MSG_CANCEL:
		on_cancel(conn, (uint32_t)id, &scan);
		break;
	default:
		conn_goodbye(conn, ERR_PROTOCOL, "no such message type for a client to send");
		break;
	}
}
