/* proc/viewer.c - a follower with a connection behind it */
#include "proc/viewer.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/mem.h"
#include "guestd/conn.h"
#include "guestd/req.h"
#include "proto/limits.h"

static struct viewer *viewer_of(struct follower *f)
{
	return CONTAINER_OF(f, struct viewer, f);
}

static void viewer_free(struct viewer *v)
{
	event_reader_stop(&v->events);
	process_unfollow(&v->f);
	free(v);
}

static void send_exit(struct viewer *v)
{
	struct exit_record x = v->exit;
	struct req *req = v->req;

	if (!v->live || v->kind->to_the_end)
		x = process_exit(v->f.process);
	v->req = NULL;
	exit_reply(req, &x);
	viewer_free(v); /* last: the artifacts are the process's */
}

static bool is_over(const struct viewer *v)
{
	const struct process *p = v->f.process;

	return (p->state == PROCESS_ENDED || !v->live) && follower_at_end(&v->f, 0) &&
	       follower_at_end(&v->f, 1) && !event_pending(&v->events);
}

/* Of a terminal, and of merged output, all is on one channel. */
static bool has_stream(const struct viewer *v, unsigned i)
{
	const struct spec *spec = v->f.process->spec;

	return i == 0 || !(spec->merge || spec->pty.given);
}

/* Ends of streams, and the end of it all, once everything before them was sent. */
static void check_ends(struct viewer *v)
{
	const struct process *p = v->f.process;

	for (unsigned i = 0; i < 2; i++) {
		if (v->end_sent[i] || !p->out[i].source.eof || !follower_at_end(&v->f, i))
			continue;
		v->end_sent[i] = true;
		if (has_stream(v, i))
			chan_end(v->req, i ? CHANNEL_ERR : CHANNEL_OUT);
	}
	if (is_over(v))
		send_exit(v);
}

void viewer_greet_started(struct viewer *v)
{
	struct enc e;

	chan_event_begin(v->req, &e);
	enc_map_end(&e, enc_map_begin(&e), 3);
	enc_kv_str(&e, "type", "started");
	enc_kv_text(&e, "id", v->f.process->id);
	enc_kv_int(&e, "pid", v->f.process->pid);
	chan_event_end_soon(v->req, &e); /* of a short process, with its output or its exit */
}

/* LOST bytes; UNKNOWN: or any other number, all that there was before the agent's restart. */
static void send_gap(struct viewer *v, unsigned i, uint64_t lost, bool unknown)
{
	struct enc e;

	chan_event_begin(v->req, &e);
	enc_map_end(&e, enc_map_begin(&e), unknown ? 5 : 4);
	enc_kv_str(&e, "type", "gap");
	enc_kv_uint(&e, "channel", i ? CHANNEL_ERR : CHANNEL_OUT);
	enc_kv_uint(&e, "lost", lost);
	enc_kv_uint(&e, "offset", v->f.position[i]);
	if (unknown)
		enc_kv_bool(&e, "unknown", true);
	chan_event_end(v->req, &e);
}

static void greet(struct viewer *v)
{
	v->greeted = true;
	v->kind->greet(v);
	for (unsigned i = 0; i < 2; i++) {
		bool unknown = v->f.process->found && v->f.position[i] == 0 && has_stream(v, i);

		if (v->lost_at_start[i] || unknown)
			send_gap(v, i, v->lost_at_start[i], unknown);
	}
}

/* What the follower is told */

static void on_output(struct follower *f)
{
	struct viewer *v = viewer_of(f);

	if (!v->greeted || v->canceled)
		return;
	if (follower_unread(f) >= SMALL_DATA || f->process->state >= PROCESS_EXITED)
		chan_ready(v->req);
	else if (follower_has_more(f))
		chan_ready_soon(v->req);
	if (event_pending(&v->events))
		chan_events_ready(v->req);
	check_ends(v);
}

static void on_started(struct follower *f)
{
	greet(viewer_of(f));
	on_output(f);
}

static void on_failed(struct follower *f, const struct failure *failure)
{
	struct viewer *v = viewer_of(f);
	struct req *req = v->req;

	viewer_free(v);
	req_fail_with(req, failure);
}

static void on_gap(struct follower *f, unsigned i, uint64_t lost)
{
	send_gap(viewer_of(f), i, lost, false);
}

static void answer_cancel(struct viewer *v)
{
	const char *why = v->kind->stops ? "canceled: nothing of the process is alive"
					 : "canceled: detached, the process goes on";
	struct req *req = v->req;

	viewer_free(v);
	req_fail(req, ERR_CANCELED, "%s", why);
}

static void on_ended(struct follower *f)
{
	struct viewer *v = viewer_of(f);

	v->exit = f->process->exit;
	/* What comes behind the record is not this call's business. */
	for (int i = 0; i < 2 && !v->kind->to_the_end; i++)
		f->until[i] = MIN(f->until[i], f->process->out[i].end);
	if (v->canceled)
		answer_cancel(v);
	else
		on_output(f);
}

static void on_stopped(struct follower *f)
{
	if (viewer_of(f)->canceled)
		answer_cancel(viewer_of(f));
}

static void on_consumed(struct follower *f, size_t len)
{
	if (len)
		chan_consumed(viewer_of(f)->req, len);
}

static const struct follower_ops follower_ops = {
	.started = on_started,
	.failed = on_failed,
	.output = on_output,
	.gap = on_gap,
	.ended = on_ended,
	.stopped = on_stopped,
	.consumed = on_consumed,
};

static void on_event(struct event_reader *reader)
{
	struct viewer *v = CONTAINER_OF(reader, struct viewer, events);

	if (v->greeted && !v->canceled)
		chan_events_ready(v->req);
}

/* What the connection asks for */

static void end(struct req *req)
{
	check_ends(req->chan.owner);
}

/* From inside of what the connection asks, which still holds the request then. */
static void check_ends_soon(struct viewer *v)
{
	if (is_over(v) && list_empty(&v->req->reply_link))
		req_reply_later(v->req, end);
}

static bool viewer_events(void *owner)
{
	struct viewer *v = owner;
	bool more = event_send(&v->events, v->req);

	check_ends_soon(v);
	return more;
}

static bool viewer_pull(void *owner, size_t max, struct chunk *chunk)
{
	struct viewer *v = owner;

	for (unsigned tried = 0; tried < 2; tried++) {
		unsigned i = (v->turn + tried) % 2;
		size_t n = follower_peek(&v->f, i, &chunk->bytes);

		if (n) {
			chunk->channel = i ? CHANNEL_ERR : CHANNEL_OUT;
			chunk->len = MIN(n, max);
			return true;
		}
	}
	check_ends_soon(v); /* a gap may have led to the end */
	return false;
}

static void viewer_taken(void *owner, const struct chunk *chunk)
{
	struct viewer *v = owner;
	unsigned i = chunk->channel == CHANNEL_ERR;

	v->turn = !i;
	follower_advance(&v->f, i, chunk->len);
	check_ends(v);
}

static void viewer_data(void *owner, unsigned channel, const char *bytes, size_t len)
{
	struct viewer *v = owner;

	if (channel != CHANNEL_IN) {
		chan_consumed(v->req, len);
		return;
	}
	/* A process that does not read is no error of the call: its exit tells the rest. */
	if (follower_input(&v->f, bytes, len) == -ENOBUFS)
		conn_goodbye(v->req->conn, ERR_LIMIT,
			"max_unread_input: the process reads nothing of it");
}

static void viewer_eof(void *owner)
{
	process_input_end(((struct viewer *)owner)->f.process);
}

static void viewer_cancel(void *owner)
{
	struct viewer *v = owner;
	struct process *p = v->f.process;

	v->canceled = true;
	follower_skip(&v->f); /* a client that stalls must not keep it from ending */
	if (!v->kind->stops || p->state == PROCESS_ENDED || p->stopped)
		answer_cancel(v);
	else
		process_stop(p, SIGTERM, p->spec->grace_ms);
}

static void viewer_gone(void *owner)
{
	struct viewer *v = owner;
	struct process *p = v->f.process;

	viewer_free(v); /* first: stopping a process that did not start tells its followers */
	process_check_wanted(p);
}

static const struct chan_ops chan_ops = {
	.pull = viewer_pull,
	.events = viewer_events,
	.taken = viewer_taken,
	.data = viewer_data,
	.eof = viewer_eof,
	.cancel = viewer_cancel,
	.gone = viewer_gone,
};

struct viewer *viewer_open(struct req *req, struct process *p, const struct viewer_kind *kind)
{
	struct viewer *v = xcalloc(1, sizeof(*v));

	v->req = req;
	v->kind = kind;
	v->live = true;
	chan_open(req, &chan_ops, v);
	process_follow(p, &v->f, &follower_ops);
	v->f.attached = true;
	v->events.subject = p->number;
	v->events.more = on_event;
	event_reader_start(&v->events, 0);
	return v;
}

void viewer_begin(struct viewer *v)
{
	struct process *p = v->f.process;

	if (p->state < PROCESS_RUNNING)
		return;
	if (p->spec->pty.given && p->tty.slave >= 0 && v->live)
		terminal_nudge(p->tty.slave);
	greet(v);
	if (p->state == PROCESS_ENDED)
		on_ended(&v->f);
	else
		on_output(&v->f);
}
