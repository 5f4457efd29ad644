/*
 * net/watch.c - net.watch: ports of the guest that open and close, as they do
 *
 * Nothing is queued for a client: it has a picture of the ports, and is told where that differs from
 * them when its connection has room.  So a slow one misses nothing but what came and went.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "guestd/conn.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "net/scanner.h"
#include "proto/limits.h"

struct watch {
	struct scan_client client;
	struct req *req;
	struct picture picture;
	uint64_t version; /* of the ports that were looked at last */
	bool ready;       /* it was told which are open */
};

static unsigned n_watches;

static struct req *done(struct watch *w)
{
	struct req *req = w->req;

	scan_leave(&w->client);
	net_picture_fini(&w->picture);
	n_watches--;
	free(w);
	return req;
}

static void watch_scanned(struct scan_client *c, int err)
{
	struct watch *w = CONTAINER_OF(c, struct watch, client);
	struct failure f;

	if (!list_empty(&w->req->reply_link))
		return; /* it is about to end */
	if (!err) {
		if (!w->ready || w->version != scan_version())
			chan_events_ready(w->req);
		return;
	}
	scan_failure(&f, err);
	req_fail_with(done(w), &f);
}

static void take_over(void *ctx, const struct told *told, const struct port *port)
{
	(void)ctx, (void)told, (void)port;
}

static void fail_too_long(struct req *req)
{
	done(req->chan.owner);
	req_fail(req, ERR_LIMIT, "the open ports are longer than max_frame (%u)",
		req->conn->max_frame);
}

static void send_ready(struct watch *w)
{
	struct buf text;
	struct enc e = {.buf = &text};
	size_t n;
	const struct port *ports = scan_ports(&n);

	buf_init(&text, w->req->conn->max_frame - EVENT_HEADER_MAX);
	enc_map_end(&e, enc_map_begin(&e), 2);
	enc_kv_str(&e, "type", "ready");
	enc_str(&e, "ports");
	enc_array(&e, n);
	for (size_t i = 0; i < n; i++)
		port_encode(&ports[i], &e);
	if (e.failed) {
		req_reply_later(w->req, fail_too_long);
	} else {
		struct enc out;

		chan_event_begin(w->req, &out);
		if (buf_add(out.buf, buf_bytes(&text), buf_len(&text)) < 0)
			out.failed = true;
		chan_event_end(w->req, &out);
	}
	buf_fini(&text);
	w->ready = true;
	net_picture_update(&w->picture, take_over, NULL);
}

static void send_change(void *ctx, const struct told *told, const struct port *port)
{
	const struct watch *w = ctx;
	size_t mark;
	struct enc e;

	chan_event_begin(w->req, &e);
	mark = enc_map_begin(&e);
	enc_kv_str(&e, "type", port ? "opened" : "closed");
	enc_map_end(&e, mark, 1 + told_encode(told, &e));
	chan_event_end(w->req, &e);
}

/* All of them at once: twice MAX_PORTS short messages fit into a connection's queue. */
static bool watch_events(void *owner)
{
	struct watch *w = owner;

	w->version = scan_version();
	if (w->ready)
		net_picture_update(&w->picture, send_change, w);
	else
		send_ready(w);
	return false;
}

static void watch_cancel(void *owner)
{
	req_fail(done(owner), ERR_CANCELED, "canceled: there are no more events");
}

static void watch_gone(void *owner)
{
	done(owner);
}

static const struct chan_ops chan_ops = {
	.events = watch_events,
	.cancel = watch_cancel,
	.gone = watch_gone,
};

static void watch_call(struct req *req, void *args)
{
	struct watch *w;

	(void)args;
	if (n_watches == MAX_PORT_WATCHES) {
		req_fail(req, ERR_LIMIT, "max_port_watches (%u) calls watch already",
			MAX_PORT_WATCHES);
		return;
	}
	w = xcalloc(1, sizeof(*w));
	n_watches++;
	w->req = req;
	w->client.pace = PACE_WATCH;
	w->client.scanned = watch_scanned;
	chan_open(req, &chan_ops, w);
	scan_join(&w->client);
}

METHOD(net_watch) = {
	.name = "net.watch",
	.doc = "Says which ports of the guest are open, and which open and close from then on.",
	.call = watch_call,
	.streams = true,
};
