/*
 * system/log.c - system.log: the last lines of the agent's log, and those to come
 *
 * The lines are kept in base/log.c.  Nothing is queued for who follows: it has a position, and is
 * told how many it missed.  The loop is woken by a line only while somebody follows.
 */
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "guestd/area.h"
#include "guestd/conn.h"
#include "guestd/loop.h"
#include "guestd/method.h"
#include "guestd/req.h"

struct log_args {
	uint64_t tail;
	bool follow;
};

static const struct arg log_table[] = {
	ARG(struct log_args, tail, .dflt = 100),
	ARG(struct log_args, follow),
	ARG_END,
};

struct follower {
	struct list link; /* followers.all */
	struct req *req;
	uint64_t next;
};

static struct {
	struct list all;
	struct ev_async wake;
} followers = {.all = {&followers.all, &followers.all}};

static void send_gap(struct req *req, uint64_t lost)
{
	struct enc e;

	chan_event_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 2);
	enc_kv_str(&e, "type", "gap");
	enc_kv_uint(&e, "lost", lost);
	chan_event_end(req, &e);
}

static void send_line(struct req *req, const struct log_record *line)
{
	struct enc e;

	chan_event_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 6);
	enc_kv_str(&e, "type", "line");
	enc_kv_uint(&e, "seq", line->seq);
	enc_kv_uint(&e, "time_us", line->time_us);
	enc_kv_str(&e, "level", log_level_name(line->level));
	enc_kv_bool(&e, "audit", line->audit);
	enc_str(&e, "text");
	enc_lossy(&e, line->text);
	chan_event_end(req, &e);
}

/* Sends lines from *NEXT up to END, BATCH bytes at most; how many. */
static uint64_t send_lines(struct req *req, uint64_t *next, uint64_t end, size_t batch)
{
	struct log_record line;
	uint64_t n = 0;

	while (batch && *next < end && log_read(*next, &line)) {
		if (line.seq > *next)
			send_gap(req, line.seq - *next);
		send_line(req, &line);
		batch -= MIN(batch, sizeof(line));
		*next = line.seq + 1;
		n++;
	}
	return n;
}

static uint64_t first_of(const struct log_args *a)
{
	uint64_t next = log_next_seq();
	struct log_record oldest;

	/* What is gone before the call began is no gap in what was asked for. */
	if (!log_read(a->tail < next ? next - a->tail : 1, &oldest))
		return next;
	return oldest.seq;
}

/* Following */

static void on_wake(struct ev_loop *ev, struct ev_async *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	list_each(link, &followers.all)
		chan_events_ready(CONTAINER_OF(link, struct follower, link)->req);
}

/* In any thread. */
static void on_line(void)
{
	ev_async_send(loop_ev(), &followers.wake);
}

static void follower_free(struct follower *f)
{
	list_del(&f->link);
	if (list_empty(&followers.all))
		log_set_listener(NULL);
	free(f);
}

static bool follow_events(void *owner)
{
	struct follower *f = owner;

	send_lines(f->req, &f->next, UINT64_MAX, EVENT_BATCH);
	return f->next < log_next_seq();
}

static void follow_cancel(void *owner)
{
	struct follower *f = owner;
	struct req *req = f->req;

	follower_free(f);
	req_fail(req, ERR_CANCELED, "canceled: there are no more lines");
}

static void follow_gone(void *owner)
{
	follower_free(owner);
}

static const struct chan_ops chan_ops = {
	.events = follow_events,
	.cancel = follow_cancel,
	.gone = follow_gone,
};

static void follow(struct req *req, uint64_t from)
{
	struct follower *f = xcalloc(1, sizeof(*f));

	f->req = req;
	f->next = from;
	list_add_tail(&followers.all, &f->link);
	log_set_listener(on_line);
	chan_open(req, &chan_ops, f);
	chan_events_ready(req);
}

/* There is room for all of them. */
static void reply(struct req *req)
{
	uint64_t next = first_of(req->args), n;
	struct enc e;

	n = send_lines(req, &next, log_next_seq(), SIZE_MAX);
	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 1);
	enc_kv_uint(&e, "lines", n);
	req_reply_end(req, &e);
}

static void log_call(struct req *req, void *args)
{
	const struct log_args *a = args;

	if (a->follow)
		follow(req, first_of(a));
	else
		req_reply_later(req, reply);
}

METHOD(system_log) = {
	.name = "system.log",
	.doc = "Sends the last lines of the agent's log, and follows it.",
	.args = log_table,
	.args_size = sizeof(struct log_args),
	.call = log_call,
	.streams = true,
};

static int start(void)
{
	ev_async_init(&followers.wake, on_wake);
	ev_async_start(loop_ev(), &followers.wake);
	return 0;
}

static void stop(void)
{
	log_set_listener(NULL);
	ev_async_stop(loop_ev(), &followers.wake);
}

AREA(log) = {.name = "log", .start = start, .stop = stop};
