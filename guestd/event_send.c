/* guestd/event_send.c - events on their way to a client */
#include "guestd/chan.h"
#include "guestd/conn.h"
#include "guestd/event.h"
#include "guestd/req.h"
#include "proto/limits.h"

static void send_gap(struct req *req, uint64_t lost, uint64_t seq)
{
	struct enc e;

	chan_event_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 3);
	enc_kv_str(&e, "type", "gap");
	enc_kv_uint(&e, "lost", lost);
	enc_kv_uint(&e, "seq", seq);
	chan_event_end(req, &e);
}

static void send_one(struct req *req, const struct event *event)
{
	struct enc e;

	chan_event_begin(req, &e);
	if (buf_add(e.buf, event->bytes, event->len) < 0)
		e.failed = true;
	chan_event_end(req, &e);
}

bool event_send(struct event_reader *reader, struct req *req)
{
	size_t room = EVENT_BATCH;
	struct event event;

	while (room && event_next(reader, &event)) {
		if (event.lost)
			send_gap(req, event.lost, event.seq);
		else if (event.len > req->conn->max_frame - EVENT_HEADER_MAX)
			send_gap(req, 1, event.seq);
		else
			send_one(req, &event);
		room -= MIN(room, event.len + EVENT_HEADER_MAX);
	}
	return event_pending(reader);
}
