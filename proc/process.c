/* proc/process.c - a process that the agent started, and those who follow it */
#include "proc/process_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/log.h"
#include "guestd/area.h"
#include "guestd/identity.h"
#include "guestd/req.h"
#include "proto/limits.h"

/* After the exit, output that something left behind still holds is waited for this long. */
#define DRAIN_S 0.2

/* Unread input: a window of credit, or what a connection without credits may leave unread. */
#define INPUT_MAX (MAX_FRAME + INPUT_HIGH + INPUT_WINDOW)

static struct {
	struct list all;
	size_t n_live;
	struct list exited; /* the oldest first */
	size_t n_exited, exited_bytes;
	unsigned long made;
	struct ring_budget budget;
} processes = {
	.all = {&processes.all, &processes.all},
	.exited = {&processes.exited, &processes.exited},
	.budget = {.max = RING_TOTAL_MAX},
};

struct ring_budget *process_budget(void)
{
	return &processes.budget;
}

/* Life and death */

static void bury(struct grave *grave)
{
	struct process *p = CONTAINER_OF(grave, struct process, grave);

	for (int i = 0; i < 2; i++)
		source_fini(&p->out[i].source);
	sink_fini(&p->in);
	launch_close_pipes(&p->pipes);
	launch_free_spawn(p);
	tree_fini(&p->tree);
	params_free(p->params);
	free(p);
}

static void process_bury(struct process *p)
{
	if (p->buried)
		return;
	p->buried = true;
	ASSERT(list_empty(&p->followers));
	users_cancel(&p->users);
	child_forget(&p->child);
	stop_fini(p);
	ev_timer_stop(loop_ev(), &p->drain);
	for (int i = 0; i < 2; i++)
		ev_io_stop(loop_ev(), &p->out[i].source.io);
	ev_io_stop(loop_ev(), &p->in.io);
	list_del(&p->link);
	if (list_empty(&p->exited_link)) {
		processes.n_live--;
	} else {
		list_del(&p->exited_link);
		processes.n_exited--;
		processes.exited_bytes -= p->exited_bytes;
	}
	loop_bury(&p->grave, bury);
}

static void make_room(void)
{
	list_each_safe(link, &processes.exited) {
		struct process *p = CONTAINER_OF(link, struct process, exited_link);

		if (processes.n_exited <= MAX_EXITED && processes.exited_bytes <= EXITED_BYTES_MAX)
			return;
		if (list_empty(&p->followers))
			process_bury(p);
	}
}

/* Remembers it, once nothing can come of it any more. */
void process_settle(struct process *p)
{
	if (p->state != PROCESS_ENDED || p->buried || !list_empty(&p->exited_link) ||
		!list_empty(&p->followers) || !p->out[0].source.eof || !p->out[1].source.eof)
		return;
	for (int i = 0; i < 2; i++) {
		ring_trim(&p->out[i].source.ring);
		p->exited_bytes += p->out[i].source.ring.cap;
	}
	p->exited_bytes += p->params->len;
	processes.exited_bytes += p->exited_bytes;
	processes.n_exited++;
	processes.n_live--;
	list_add_tail(&processes.exited, &p->exited_link);
	make_room();
}

void process_fail(struct process *p, const struct failure *failure)
{
	while (!list_empty(&p->followers)) {
		struct follower *f = LIST_FIRST(&p->followers, struct follower, link);

		list_del(&f->link);
		f->process = NULL;
		f->ops->failed(f, failure);
	}
	process_bury(p);
}

/* Output */

static struct stream *stream_of(struct source *s)
{
	return CONTAINER_OF(s, struct stream, source);
}

static unsigned stream_index(const struct stream *stream)
{
	return stream == &stream->process->out[1];
}

static uint64_t stream_floor(struct source *s)
{
	struct stream *stream = stream_of(s);
	unsigned i = stream_index(stream);
	uint64_t floor = UINT64_MAX;

	list_each(link, &stream->process->followers)
		floor = MIN(floor, CONTAINER_OF(link, struct follower, link)->position[i]);
	return floor;
}

static void stream_more(struct source *s)
{
	struct stream *stream = stream_of(s);
	struct process *p = stream->process;
	uint64_t lost_from = MAX(stream->was_tail, stream->taken);

	if (s->ring.tail > lost_from)
		stream->dropped += s->ring.tail - lost_from;
	stream->was_tail = s->ring.tail;
	EACH_FOLLOWER(p, f, output);
	if (s->eof)
		process_check_ended(p);
}

/* The end */

static void on_consumed(struct sink *sink, size_t len)
{
	struct process *p = CONTAINER_OF(sink, struct process, in);

	/* In the order of the followers, which is right in sum, and there is hardly ever a second. */
	list_each_safe(link, &p->followers) {
		struct follower *f = CONTAINER_OF(link, struct follower, link);
		size_t n = MIN(len, f->input_pending);

		len -= n;
		f->input_pending -= n;
		if (n && f->ops->consumed)
			f->ops->consumed(f, n);
	}
}

static void process_ended(struct process *p)
{
	p->state = PROCESS_ENDED;
	ev_timer_stop(loop_ev(), &p->drain);
	stop_fini(p);
	p->exit.eof = p->out[0].source.eof && p->out[1].source.eof;
	for (int i = 0; i < 2; i++) {
		p->out[i].end = p->out[i].source.ring.head;
		p->exit.bytes[i] = p->out[i].end;
		p->exit.dropped[i] = p->out[i].dropped;
	}
	on_consumed(&p->in, buf_len(&p->in.queue)); /* nobody will read the rest */
	sink_fini(&p->in);
	tree_fini(&p->tree);
	log_debug("process", "ended id=%s pid=%d eof=%d", p->id, (int)p->pid, p->exit.eof);
	EACH_FOLLOWER(p, f, ended);
	process_settle(p);
}

void process_check_ended(struct process *p)
{
	if (p->state == PROCESS_EXITED && p->out[0].source.eof && p->out[1].source.eof &&
		p->stopped == p->stopping)
		process_ended(p);
	else
		process_settle(p);
}

/*
 * All that the process itself wrote is read first, however long a slow follower takes for it;
 * what comes behind that is somebody else's.
 */
static void on_drain(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct process *p = CONTAINER_OF(w, struct process, drain);

	(void)revents;
	for (int i = 0; i < 2; i++) {
		const struct source *s = &p->out[i].source;

		if (!s->eof && s->ring.head < p->out[i].end) {
			ev_timer_again(ev, w);
			return;
		}
	}
	if (p->stopped != p->stopping)
		ev_timer_again(ev, w);
	else
		process_ended(p);
}

static void on_exited(struct child *child, int status, const struct rusage *usage)
{
	struct process *p = CONTAINER_OF(child, struct process, child);

	if (p->spawn)
		spawn_reaped(p->spawn);
	if (p->state != PROCESS_RUNNING)
		return; /* the spawn failed */
	p->state = PROCESS_EXITED;
	p->exit.status = status;
	p->exit.usage = *usage;
	p->exit.exited_us = clock_real_us();
	p->exit.duration_us = clock_mono_us() - p->started_mono_us;
	ev_timer_stop(loop_ev(), &p->timeout);
	/* Most pipes are at their end by now: no need to wait for the loop to say so. */
	for (int i = 0; i < 2; i++)
		source_poll(&p->out[i].source);
	if (p->state != PROCESS_EXITED)
		return;
	for (int i = 0; i < 2; i++) {
		int unread = 0;

		if (!p->out[i].source.eof)
			ioctl(p->out[i].source.fd, FIONREAD, &unread);
		p->out[i].end = p->out[i].source.ring.head + (unsigned)unread;
	}
	p->drain.repeat = DRAIN_S;
	ev_timer_again(loop_ev(), &p->drain);
	if (!p->stopping && !(p->out[0].source.eof && p->out[1].source.eof))
		/*
		 * Somebody else holds its output: whom a cancel would have to find.  The session
		 * that the leader made keeps its number taken as long as they are in it.
		 */
		tree_update(&p->tree, p->pid);
	stop_check(p);
	process_check_ended(p);
}

struct process *process_new(struct arena *params, const struct spec *spec, struct failure *f)
{
	struct process *p;

	if (processes.n_live >= MAX_PROCESSES) {
		failure_set(
			f, ERR_LIMIT, NULL, NULL, "max_processes (%u) run already", MAX_PROCESSES);
		params_free(params);
		return NULL;
	}
	p = xcalloc(1, sizeof(*p));
	processes.made++;
	if (spec->id)
		snprintf(p->id, sizeof(p->id), "%s", spec->id);
	else
		snprintf(p->id, sizeof(p->id), "p%lu-%.8s", processes.made, identity()->instance);
	p->params = params;
	p->spec = spec;
	p->child.exited = on_exited;
	list_init(&p->followers);
	list_init(&p->exited_link);
	ev_init(&p->drain, on_drain);
	stop_init(p);
	launch_init(p);
	for (int i = 0; i < 2; i++) {
		p->out[i].process = p;
		source_init(&p->out[i].source, spec->ring, &processes.budget, stream_floor,
			stream_more);
	}
	sink_init(&p->in, INPUT_MAX, on_consumed);
	list_add_tail(&processes.all, &p->link);
	processes.n_live++;
	return p;
}

struct process *process_find(const char *id)
{
	list_each(link, &processes.all) {
		struct process *p = CONTAINER_OF(link, struct process, link);

		if (strcmp(p->id, id) == 0)
			return p;
	}
	return NULL;
}

static int start(void)
{
	int err = launch_start();

	return err ? err : child_start();
}

AREA(proc) = {.name = "proc", .start = start};
