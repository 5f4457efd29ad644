/* net/ports.c - net.ports: which ports of the guest are open now */
#include <stdlib.h>

#include "base/mem.h"
#include "guestd/conn.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "net/scanner.h"

struct listing {
	struct scan_client client;
	struct req *req;
};

static struct req *done(struct listing *l)
{
	struct req *req = l->req;

	scan_leave(&l->client);
	free(l);
	return req;
}

static void send_ports(struct req *req)
{
	size_t n;
	const struct port *ports;
	struct enc e;

	done(req->chan.owner);
	ports = scan_ports(&n);
	req_reply_begin(req, &e);
	enc_array(&e, n);
	for (size_t i = 0; i < n; i++)
		port_encode(&ports[i], &e);
	req_reply_end(req, &e);
}

static void ports_scanned(struct scan_client *c, int err)
{
	struct listing *l = CONTAINER_OF(c, struct listing, client);
	struct failure f;

	if (!list_empty(&l->req->reply_link))
		return; /* it waits for room already */
	if (!err) {
		req_reply_later(l->req, send_ports);
		return;
	}
	scan_failure(&f, err);
	req_fail_with(done(l), &f);
}

static void ports_cancel(void *owner)
{
	req_fail(done(owner), ERR_CANCELED, "canceled");
}

static void ports_gone(void *owner)
{
	done(owner);
}

static const struct chan_ops chan_ops = {.cancel = ports_cancel, .gone = ports_gone};

static void ports_call(struct req *req, void *args)
{
	struct listing *l = xcalloc(1, sizeof(*l));

	(void)args;
	l->req = req;
	l->client.pace = PACE_WATCH;
	l->client.scanned = ports_scanned;
	chan_open(req, &chan_ops, l);
	scan_join(&l->client);
}

METHOD(net_ports) = {
	.name = "net.ports",
	.doc = "Lists the TCP ports of the guest that something listens on.",
	.call = ports_call,
};
