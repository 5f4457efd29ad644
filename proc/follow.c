/* proc/follow.c - a position in the output of a process, and bytes for its input */
#include <errno.h>

#include "proc/process_impl.h"

void process_follow(struct process *p, struct follower *f, const struct follower_ops *ops)
{
	*f = (struct follower){.process = p, .ops = ops};
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

/* Where stream I ends for a follower: output behind the exit record is not its business. */
static uint64_t stream_end(const struct process *p, unsigned i)
{
	return p->state == PROCESS_ENDED ? p->out[i].end : p->out[i].source.ring.head;
}

size_t follower_peek(const struct follower *f, unsigned i, const char **bytes)
{
	uint64_t end = stream_end(f->process, i);

	if (f->position[i] >= end)
		return 0;
	return MIN(ring_peek(&f->process->out[i].source.ring, f->position[i], bytes),
		(size_t)(end - f->position[i]));
}

void follower_advance(struct follower *f, unsigned i, size_t len)
{
	struct stream *stream = &f->process->out[i];

	f->position[i] += len;
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
	const struct process *p = f->process;

	return (p->state == PROCESS_ENDED || p->out[i].source.eof) &&
	       f->position[i] >= stream_end(p, i);
}

int follower_input(struct follower *f, const char *bytes, size_t len)
{
	struct process *p = f->process;
	ssize_t n;

	if (!p->spec->want_stdin || p->state == PROCESS_ENDED)
		n = (ssize_t)len;
	else
		n = sink_write(&p->in, bytes, len);
	if (n < 0)
		return (int)n;
	f->input_pending += len - (size_t)n;
	if (n && f->ops->consumed)
		f->ops->consumed(f, (size_t)n);
	return p->in.broken ? -EPIPE : 0;
}

void process_input_end(struct process *p)
{
	sink_end(&p->in);
}
