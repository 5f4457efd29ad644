/*
 * system/events.c - system.events: what happens in the guest, as it happens
 *
 * A reader of the journal (guestd/event.h) with a connection behind it.  It queues nothing: events
 * are asked for when the connection has room, and a client that is too slow for what the
 * journal keeps is told how many it missed.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "guestd/event.h"
#include "guestd/method.h"
#include "guestd/req.h"

/* No client can name it: numbers of the wire end at 2^53. */
#define FROM_NOW UINT64_MAX

struct events_args {
	uint64_t from_seq;
};

static const struct arg events_table[] = {
	ARG(struct events_args, from_seq, .dflt = -1),
	ARG_END,
};

struct events {
	struct event_reader reader;
	struct req *req;
};

static void events_free(struct events *ev)
{
	event_reader_stop(&ev->reader);
	free(ev);
}

static void events_more(struct event_reader *reader)
{
	chan_events_ready(CONTAINER_OF(reader, struct events, reader)->req);
}

static bool events_send(void *owner)
{
	struct events *ev = owner;

	return event_send(&ev->reader, ev->req);
}

static void events_cancel(void *owner)
{
	struct events *ev = owner;
	struct req *req = ev->req;

	events_free(ev);
	req_fail(req, ERR_CANCELED, "canceled: there are no more events");
}

static void events_gone(void *owner)
{
	events_free(owner);
}

static const struct chan_ops chan_ops = {
	.events = events_send,
	.cancel = events_cancel,
	.gone = events_gone,
};

static void events_call(struct req *req, void *args)
{
	const struct events_args *a = args;
	uint64_t next = event_next_seq();
	uint64_t from = a->from_seq == FROM_NOW ? next : MAX(a->from_seq, 1);
	struct events *ev;

	/* To wait for that one would pass over all before it without a word. */
	if (from > next) {
		req_fail(req, ERR_GAP,
			"the next event has seq %llu: this is not the agent that came to %llu "
			"(see `instance`)",
			(unsigned long long)next, (unsigned long long)from - 1);
		return;
	}
	ev = xcalloc(1, sizeof(*ev));
	ev->req = req;
	ev->reader.more = events_more;
	chan_open(req, &chan_ops, ev);
	event_reader_start(&ev->reader, from);
	if (event_pending(&ev->reader))
		chan_events_ready(req);
}

METHOD(system_events) = {
	.name = "system.events",
	.doc = "Sends what happens in the guest until it is canceled, and what has happened before.",
	.args = events_table,
	.args_size = sizeof(struct events_args),
	.call = events_call,
	.streams = true,
};
