/* guestd/chan.c - the stream of a call: data and events under credit */
#include "guestd/chan.h"

#include "guestd/activity.h"
#include "guestd/conn.h"
#include "guestd/req.h"
#include "proto/limits.h"

/* Credit never grows past what a JavaScript number holds exactly. */
#define CREDIT_MAX (UINT64_C(1) << 53)

void chan_open(struct req *req, const struct chan_ops *ops, void *owner)
{
	struct chan *ch = &req->chan;

	ASSERT(!ch->ops);
	ch->ops = ops;
	ch->owner = owner;
	ch->credit = req->conn->credit_mode ? req->conn->window : CREDIT_MAX;
	ch->granted = INPUT_WINDOW;
}

/* Puts the stream into the line of those that have something to send and may. */
static bool enlist(struct req *req)
{
	struct chan *ch = &req->chan;

	if (!ch->events_ready && !(ch->ready && ch->credit))
		return false;
	if (list_empty(&ch->link))
		list_add_tail(&req->conn->sendable, &ch->link);
	return true;
}

static void schedule(struct req *req)
{
	if (enlist(req))
		conn_flush_later(req->conn);
}

void chan_ready(struct req *req)
{
	req->chan.ready = true;
	schedule(req);
}

void chan_ready_soon(struct req *req)
{
	req->chan.ready = true;
	if (!conn_wrote_just_now(req->conn))
		schedule(req);
	else if (enlist(req))
		conn_flush_soon(req->conn);
}

void chan_events_ready(struct req *req)
{
	req->chan.events_ready = true;
	schedule(req);
}

bool chan_pull(struct req *req, struct chunk *chunk)
{
	struct chan *ch = &req->chan;
	size_t max = (size_t)MIN(ch->credit, MAX_DATA);

	if (ch->events_ready) {
		ch->events_ready = ch->ops->events(ch->owner);
	} else {
		max = MIN(max, req->conn->max_frame - DATA_HEADER_MAX);
		*chunk = (struct chunk){.pipe = -1};
		ch->ready = ch->ops->pull(ch->owner, max, chunk);
		if (ch->ready)
			return true;
	}
	list_del(&ch->link);
	schedule(req); /* at the end of the line */
	return false;
}

void chan_taken(struct req *req, const struct chunk *chunk)
{
	struct chan *ch = &req->chan;

	activity_touch();
	list_del(&ch->link);
	if (req->conn->credit_mode)
		ch->credit -= chunk->len;
	schedule(req); /* at the end of the line */
	ch->ops->taken(ch->owner, chunk);
}

void chan_uncount(struct req *req)
{
	req->chan.credit = CREDIT_MAX;
	if (req->chan.ops)
		schedule(req);
}

void chan_add_credit(struct req *req, uint64_t n)
{
	struct chan *ch = &req->chan;
	bool was_dry = !ch->credit;

	if (!req->conn->credit_mode)
		return;
	ch->credit = n > CREDIT_MAX - ch->credit ? CREDIT_MAX : ch->credit + n;
	if (ch->ops && was_dry) /* else what there is stands in the line, or waits for company */
		schedule(req);
}

void chan_input(struct req *req, unsigned channel, const char *bytes, size_t len)
{
	struct chan *ch = &req->chan;

	if (req->conn->credit_mode) {
		if (len > ch->granted) {
			conn_goodbye(req->conn, ERR_PROTOCOL, "data beyond the credit of its call");
			return;
		}
		ch->granted -= len;
	}
	activity_touch();
	ch->input_pending += len;
	req->conn->input_pending += len;
	if (ch->input_ended || !ch->ops->data)
		chan_consumed(req, len);
	else if (len)
		ch->ops->data(ch->owner, channel, bytes, len);
}

void chan_input_end(struct req *req, unsigned channel)
{
	struct chan *ch = &req->chan;

	if (ch->input_ended || channel != CHANNEL_IN)
		return;
	ch->input_ended = true;
	if (ch->ops->eof)
		ch->ops->eof(ch->owner);
}

void chan_grant(struct req *req, size_t n)
{
	struct conn *conn = req->conn;
	struct enc e;

	if (!conn->credit_mode)
		return;
	conn_message_begin(conn, &e);
	enc_array(&e, 3);
	enc_uint(&e, MSG_CREDIT);
	enc_uint(&e, req->id);
	enc_uint(&e, n);
	conn_message_end(conn, &e);
	req->chan.granted += n;
}

void chan_consumed(struct req *req, size_t len)
{
	struct conn *conn = req->conn;
	struct chan *ch = &req->chan;

	ASSERT(len <= ch->input_pending);
	ch->input_pending -= len;
	conn->input_pending -= len;
	ch->consumed += len;
	conn_flush_later(conn); /* it may read on */
	/* Credit goes back in halves of the window: few messages, never a stall. */
	if (!conn->credit_mode || ch->consumed < INPUT_WINDOW / 2)
		return;
	chan_grant(req, ch->consumed);
	ch->consumed = 0;
}

void chan_cancel(struct req *req)
{
	struct chan *ch = &req->chan;

	if (!ch->ops || ch->canceled)
		return;
	ch->canceled = true;
	ch->ops->cancel(ch->owner);
}

void chan_event_begin(struct req *req, struct enc *e)
{
	conn_message_begin(req->conn, e);
	enc_array(e, 3);
	enc_uint(e, MSG_EVENT);
	enc_uint(e, req->id);
}

void chan_event_end(struct req *req, struct enc *e)
{
	conn_message_end(req->conn, e);
}

void chan_event_end_soon(struct req *req, struct enc *e)
{
	conn_message_end_soon(req->conn, e);
}

void chan_end(struct req *req, enum channel channel)
{
	struct enc e;

	conn_message_begin(req->conn, &e);
	enc_array(&e, 3);
	enc_uint(&e, MSG_END);
	enc_uint(&e, req->id);
	enc_uint(&e, channel);
	conn_message_end(req->conn, &e);
}

void chan_fini(struct req *req)
{
	list_del(&req->chan.link);
	req->conn->input_pending -= req->chan.input_pending;
	req->chan.input_pending = 0;
	req->chan.ops = NULL;
}
