/* proc/follow.c - a position in the output of a process, and bytes for its input */
#include <errno.h>

#include "base/log.h"
#include "proc/process_impl.h"
#include "proc/record.h"

/* How long a client may hold a process back without taking anything. */
#define STALL_S 30.0

void process_follow(struct process *p, struct follower *f, const struct follower_ops *ops)
{
	*f = (struct follower){
		.process = p,
		.ops = ops,
		.stall_s = STALL_S,
		.taken_at = loop_now(),
		.until = {UINT64_MAX, UINT64_MAX},
	};
	for (int i = 0; i < 2; i++)
		f->position[i] = p->out[i].source.ring.tail;
	list_add_tail(&p->followers, &f->link);
}

void process_unfollow(struct follower *f)
{
	struct process *p = f->process;

	if (!p)
		return;
	f->process = NULL;
	list_del(&f->link);
	for (int i = 0; i < 2; i++)
		source_resume(&p->out[i].source);
	process_settle(p);
}

size_t follower_peek(struct follower *f, unsigned i, const char **bytes)
{
	const struct ring *ring = &f->process->out[i].source.ring;
	uint64_t end = MIN(ring->head, f->until[i]);

	if (f->position[i] >= end)
		return 0;
	if (f->position[i] < ring->tail) {
		uint64_t lost = MIN(ring->tail, end) - f->position[i];

		f->position[i] += lost;
		if (f->ops->gap)
			f->ops->gap(f, i, lost);
		if (f->position[i] >= end)
			return 0;
	}
	return MIN(ring_peek(ring, f->position[i], bytes), (size_t)(end - f->position[i]));
}

uint64_t follower_unread(const struct follower *f)
{
	uint64_t n = 0;

	for (int i = 0; i < 2; i++) {
		uint64_t end = MIN(f->process->out[i].source.ring.head, f->until[i]);

		n += end - MIN(end, f->position[i]);
	}
	return n;
}

bool follower_has_more(const struct follower *f)
{
	return follower_unread(f) > 0;
}

void follower_advance(struct follower *f, unsigned i, size_t len)
{
	struct stream *stream = &f->process->out[i];

	f->position[i] += len;
	f->taken_at = loop_now();
	f->stalled = f->stall_s == 0;
	stream->taken = MAX(stream->taken, f->position[i]);
	source_resume(&stream->source);
}

void follower_skip(struct follower *f)
{
	for (int i = 0; i < 2; i++) {
		f->position[i] = UINT64_MAX;
		source_resume(&f->process->out[i].source);
	}
}

bool follower_at_end(const struct follower *f, unsigned i)
{
	const struct source *s = &f->process->out[i].source;

	return f->position[i] >= f->until[i] || (s->eof && f->position[i] >= s->ring.head);
}

/* Stalls */

void follower_set_stall(struct follower *f, ev_tstamp seconds)
{
	f->stall_s = seconds;
	f->stalled = seconds == 0;
}

/* Who had taken everything has something to take from now on. */
void stall_output(struct process *p)
{
	list_each(link, &p->followers) {
		struct follower *f = CONTAINER_OF(link, struct follower, link);

		if (f->position[0] >= p->out[0].was_head && f->position[1] >= p->out[1].was_head)
			f->taken_at = loop_now();
	}
}

/* Drops those who have taken nothing for too long; the next time that it may be so, or 0. */
static ev_tstamp find_stalled(struct process *p)
{
	ev_tstamp next = 0;

	list_each(link, &p->followers) {
		struct follower *f = CONTAINER_OF(link, struct follower, link);
		ev_tstamp at = f->taken_at + f->stall_s;

		if (f->stalled || !follower_has_more(f))
			continue;
		if (at <= loop_now())
			f->stalled = true;
		else if (!next || at < next)
			next = at;
	}
	return next;
}

/* For as long as anybody is behind: a ring may be full at any time. */
static void on_stall(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct process *p = CONTAINER_OF(w, struct process, stall);
	ev_tstamp next = find_stalled(p);

	(void)revents;
	for (int i = 0; i < 2; i++)
		source_resume(&p->out[i].source);
	w->repeat = next ? MAX(next - loop_now(), 0.001) : 0;
	ev_timer_again(ev, w); /* 0 stops it */
}

void stall_full(struct source *s)
{
	struct process *p = CONTAINER_OF(s, struct stream, source)->process;

	if (!ev_is_active(&p->stall))
		on_stall(loop_ev(), &p->stall, 0);
}

void stall_init(struct process *p)
{
	ev_init(&p->stall, on_stall);
}

/* Input */

/* Without a pipe for it, or behind its end, input is gone at once. */
static bool takes_input(const struct process *p)
{
	return (p->spec->want_stdin || p->spec->pty.given) && p->state < PROCESS_ENDED;
}

int follower_input(struct follower *f, const char *bytes, size_t len)
{
	struct process *p = f->process;
	ssize_t n = takes_input(p) ? sink_write(&p->in, bytes, len) : (ssize_t)len;

	if (n < 0)
		return (int)n;
	if (len)
		p->last_input = bytes[len - 1];
	f->input_pending += len - (size_t)n;
	f->input_end = p->in.gone + buf_len(&p->in.queue);
	if (n && f->ops->consumed)
		f->ops->consumed(f, (size_t)n);
	return !takes_input(p) || p->in.broken || (p->in.ending && len) ? -EPIPE : 0;
}

bool follower_input_done(const struct follower *f)
{
	return f->process->in.gone >= f->input_end;
}

void process_input_end(struct process *p)
{
	char eof[2];
	size_t n;

	if (!p->spec->pty.given) {
		sink_end(&p->in);
		if (p->birth.noted && p->spec->want_stdin)
			record_write(p);
		return;
	}
	/* At the start of a line, or not: what is typed there ends with a carriage return. */
	if (p->last_input == '\r' || p->last_input == '\0')
		p->last_input = '\n';
	n = p->tty.slave >= 0 ? terminal_eof(p->tty.slave, p->last_input, eof) : 0;
	if (n && sink_write(&p->in, eof, n) == -ENOBUFS)
		log_debug("process", "no room for the end of input id=%s", p->id);
	p->last_input = '\n';
}
