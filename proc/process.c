/* proc/process.c - a process that the agent started, and those who follow it */
#include "proc/process_impl.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "guestd/activity.h"
#include "guestd/area.h"
#include "guestd/event.h"
#include "guestd/identity.h"
#include "guestd/req.h"
#include "proc/artifacts.h"
#include "proc/boot.h"
#include "proc/cgroup.h"
#include "proc/found.h"
#include "proc/inbox.h"
#include "proc/keep.h"
#include "proc/record.h"
#include "proto/limits.h"

/* After the exit, output that something left behind still holds is waited for this long. */
#define DRAIN_S 0.2

/* Unread input: a window of credit, or what a connection without credits may leave unread. */
#define INPUT_MAX (MAX_FRAME + INPUT_HIGH + INPUT_WINDOW)

#define BUCKETS 256

static struct {
	struct list all;
	struct list by_id[BUCKETS], by_pid[BUCKETS]; /* the newest first */
	size_t n_live;
	struct list exited; /* the oldest first */
	size_t n_exited, exited_bytes;
	uint64_t made;
	uint64_t ended_us; /* CPU time of all that have exited */
	struct ring_budget budget;
	struct ev_timer calm;
} processes = {
	.all = {&processes.all, &processes.all},
	.exited = {&processes.exited, &processes.exited},
};

static struct list *id_bucket(const char *id)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (; *id; id++)
		hash = (hash ^ (unsigned char)*id) * 16777619u;
	return &processes.by_id[hash % BUCKETS];
}

static struct list *pid_bucket(pid_t pid)
{
	return &processes.by_pid[(unsigned)pid % BUCKETS];
}

struct ring_budget *process_budget(void)
{
	return &processes.budget;
}

/* Life and death */

/* When no process was forgotten for this long, their memory goes back to the guest. */
#define CALM_S 1.0

static void on_calm(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)revents;
	ev_timer_stop(ev, w);
	sys_malloc_trim();
}

static void bury(struct grave *grave)
{
	struct process *p = CONTAINER_OF(grave, struct process, grave);

	for (int i = 0; i < 2; i++) {
		source_fini(&p->out[i].source);
		keep_end(&p->out[i]);
	}
	sink_fini(&p->in);
	launch_close_pipes(&p->pipes);
	launch_free_spawn(p);
	terminal_close(&p->tty);
	tree_fini(&p->tree);
	order_fini(&p->order);
	artifacts_free(p->artifacts);
	found_free(p->found);
	params_free(p->params);
	free(p->account);
	free(p->user);
	free(p->cwd);
	free(p->shell);
	free(p);
	ev_timer_again(loop_ev(), &processes.calm);
}

static void process_bury(struct process *p)
{
	if (p->buried)
		return;
	p->buried = true;
	ASSERT(list_empty(&p->followers));
	users_cancel(&p->users);
	child_forget(&p->child);
	process_leave_cgroup(p);
	list_del(&p->starter.link);
	stop_fini(p);
	ev_timer_stop(loop_ev(), &p->drain);
	ev_timer_stop(loop_ev(), &p->stall);
	for (int i = 0; i < 2; i++)
		ev_io_stop(loop_ev(), &p->out[i].source.io);
	ev_io_stop(loop_ev(), &p->in.io);
	list_del(&p->link);
	list_del(&p->id_link);
	list_del(&p->pid_link);
	record_forget(p);
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
		if (list_empty(&p->followers) && p->stopping == p->stopped)
			process_bury(p);
	}
}

static void remember(struct process *p)
{
	for (int i = 0; i < 2; i++) {
		ring_trim(&p->out[i].source.ring);
		p->exited_bytes += p->out[i].source.ring.cap;
	}
	p->exited_bytes += p->params->len;
	p->exited_bytes += p->order.cap * sizeof(*p->order.at);
	p->exited_bytes += p->artifacts ? artifacts_bytes(p->artifacts) : 0;
	processes.exited_bytes += p->exited_bytes;
	processes.n_exited++;
	processes.n_live--;
	list_add_tail(&processes.exited, &p->exited_link);
	if (!p->stopping)
		tree_fini(&p->tree);
}

void process_settle(struct process *p)
{
	if (p->state != PROCESS_ENDED || p->buried || !list_empty(&p->followers))
		return;
	if (p->removed) {
		process_bury(p);
		return;
	}
	if (list_empty(&p->exited_link) && p->out[0].source.eof && p->out[1].source.eof)
		remember(p);
	make_room();
}

void process_remove(struct process *p)
{
	ASSERT(p->state == PROCESS_ENDED);
	p->removed = true;
	process_settle(p);
}

void process_leave_cgroup(struct process *p)
{
	struct cgroup *cg = p->cgroup;

	p->cgroup = NULL;
	if (cg)
		cgroup_release(cg);
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

	list_each(link, &stream->process->followers) {
		const struct follower *f = CONTAINER_OF(link, struct follower, link);

		if (!f->stalled && f->position[i] < f->until[i])
			floor = MIN(floor, f->position[i]);
	}
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
	if (s->eof)
		keep_end(stream);
	stall_output(p);
	order_add(&p->order, stream_index(stream), (size_t)(s->ring.head - stream->was_head));
	stream->was_head = s->ring.head;
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
		if (f->ops->consumed)
			f->ops->consumed(f, n);
	}
}

static void tell_exited(const struct process *p)
{
	struct enc *e = event_begin("process_exited", 0, 3);
	size_t mark;

	enc_kv_text(e, "id", p->id);
	enc_kv_int(e, "pid", p->pid);
	enc_str(e, "exit");
	mark = enc_map_begin(e);
	enc_map_end(e, mark, exit_encode(&p->exit, e));
	event_end();
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
	p->in.broken = true; /* nobody will read the rest */
	p->in.gone += buf_len(&p->in.queue);
	on_consumed(&p->in, buf_len(&p->in.queue));
	sink_fini(&p->in);
	tell_exited(p);
	log_debug("process", "ended id=%s pid=%d eof=%d", p->id, (int)p->pid, p->exit.eof);
	EACH_FOLLOWER(p, f, ended);
	process_settle(p);
}

static bool may_end(const struct process *p)
{
	return p->state == PROCESS_EXITED && p->stopped == p->stopping &&
	       (!p->spec->artifacts.n || p->exit.artifacts);
}

static void on_artifacts(void *owner)
{
	struct process *p = owner;

	p->exit.artifacts = p->artifacts;
	process_check_ended(p);
}

static void look_for_artifacts(struct process *p)
{
	if (p->spec->artifacts.n && !p->artifacts)
		p->artifacts =
			artifacts_start(&p->spec->artifacts, p->cwd, p->account, on_artifacts, p);
}

void process_check_ended(struct process *p)
{
	if (may_end(p) && p->out[0].source.eof && p->out[1].source.eof)
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
	bool unread = false;

	(void)revents;
	for (int i = 0; i < 2; i++) {
		const struct source *s = &p->out[i].source;

		unread |= !s->eof && s->ring.head < p->out[i].end;
	}
	if (may_end(p) && !unread) {
		process_ended(p);
		return;
	}
	ev_timer_again(ev, w);
	look_for_artifacts(p); /* again, where no worker took the job */
	if (may_end(p))
		EACH_FOLLOWER(p, f, held);
}

/* What the process itself wrote and nobody has read yet. */
static uint64_t unread_bytes(const struct source *s)
{
	int n = 0;

	if (!s->eof)
		ioctl(s->fd, FIONREAD, &n);
	return (uint64_t)MAX(n, 0);
}

static uint64_t cpu_us(const struct rusage *usage)
{
	const struct timeval *user = &usage->ru_utime, *system = &usage->ru_stime;

	return (uint64_t)(user->tv_sec + system->tv_sec) * 1000000 +
	       (uint64_t)(user->tv_usec + system->tv_usec);
}

static void on_exited(struct child *child, int status, const struct rusage *usage)
{
	struct process *p = CONTAINER_OF(child, struct process, child);

	if (p->spawn)
		spawn_reaped(p->spawn);
	if (p->state != PROCESS_RUNNING)
		return; /* the spawn failed */
	p->state = PROCESS_EXITED;
	record_forget(p);
	p->exit.status = status;
	p->exit.usage = *usage;
	processes.ended_us += cpu_us(usage);
	activity_touch();
	if (!p->exit.exited_us) { /* else it had ended before it was found */
		p->exit.exited_us = clock_real_us();
		p->exit.duration_us = clock_mono_us() - p->started_mono_us;
	}
	p->exit.oom_killed = p->cgroup && cgroup_oom_kills(p->cgroup) > 0;
	ev_timer_stop(loop_ev(), &p->timeout);
	fd_close(&p->tty.slave);
	inbox_poll(); /* what it sent before it went is told before its end */
	look_for_artifacts(p);
	/* Most pipes are at their end by now: no need to wait for the loop to say so. */
	for (int i = 0; i < 2; i++)
		source_poll(&p->out[i].source);
	if (p->state != PROCESS_EXITED) { /* that was all: it has ended */
		stop_note_leftovers(p);
		return;
	}
	for (int i = 0; i < 2; i++)
		p->out[i].end = p->out[i].source.ring.head + unread_bytes(&p->out[i].source);
	p->drain.repeat = DRAIN_S;
	ev_timer_again(loop_ev(), &p->drain);
	stop_note_leftovers(p);
	stop_check(p);
	process_check_ended(p);
}

struct exit_record process_exit(const struct process *p)
{
	struct exit_record x = p->exit;

	x.running = p->state < PROCESS_EXITED;
	x.eof = p->out[0].source.eof && p->out[1].source.eof;
	for (int i = 0; i < 2; i++) {
		const struct ring *ring = &p->out[i].source.ring;

		x.bytes[i] = MAX(ring->head, p->state == PROCESS_EXITED ? p->out[i].end : 0);
		x.dropped[i] = p->out[i].dropped;
	}
	return x;
}

/* Whom it lives for */

void process_check_wanted(struct process *p)
{
	if (p->spec->on_disconnect != DISCONNECT_KILL || p->state == PROCESS_ENDED ||
		!list_empty(&p->starter.link) || p->buried)
		return;
	list_each(link, &p->followers) {
		if (CONTAINER_OF(link, struct follower, link)->attached)
			return;
	}
	process_stop(p, SIGTERM, p->spec->grace_ms);
}

static void on_starter_gone(struct conn_watch *watch)
{
	process_check_wanted(CONTAINER_OF(watch, struct process, starter));
}

void process_set_starter(struct process *p, struct conn *starter)
{
	if (p->spec->on_disconnect == DISCONNECT_KILL)
		list_add_tail(&starter->watches, &p->starter.link);
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
	p->number = processes.made;
	if (spec->id)
		snprintf(p->id, sizeof(p->id), "%s", spec->id);
	else
		snprintf(p->id, sizeof(p->id), "p%llu-%s", (unsigned long long)p->number,
			identity()->tag);
	p->tty = NO_TERMINAL;
	p->params = params;
	p->spec = spec;
	p->child.exited = on_exited;
	list_init(&p->followers);
	list_init(&p->exited_link);
	list_init(&p->pid_link);
	list_init(&p->starter.link);
	list_init(&p->record_link);
	p->starter.gone = on_starter_gone;
	ev_init(&p->drain, on_drain);
	stop_init(p);
	stall_init(p);
	launch_init(p);
	for (int i = 0; i < 2; i++) {
		p->out[i].process = p;
		source_init(&p->out[i].source, spec->ring, &processes.budget, stream_floor,
			stream_more);
		p->out[i].source.full = stall_full;
	}
	/* Of two that are readable in one turn, stdout is as a rule the older one. */
	ev_set_priority(&p->out[0].source.io, 1);
	sink_init(&p->in, INPUT_MAX, on_consumed);
	list_add_tail(&processes.all, &p->link);
	list_add_tail(id_bucket(p->id)->next, &p->id_link);
	processes.n_live++;
	return p;
}

void process_set_pid(struct process *p, pid_t pid)
{
	p->pid = pid;
	list_del(&p->pid_link);
	list_add_tail(pid_bucket(pid)->next, &p->pid_link);
}

struct process *process_find(const char *id)
{
	list_each(link, id_bucket(id)) {
		struct process *p = CONTAINER_OF(link, struct process, id_link);

		if (!p->removed && strcmp(p->id, id) == 0)
			return p;
	}
	return NULL;
}

/* Of those that fit: a running one, else the newest, which is the first that is asked about. */
static void choose(struct process *p, bool fits, struct process **best)
{
	if (!fits || p->removed)
		return;
	if (!*best || ((*best)->state >= PROCESS_EXITED && p->state < PROCESS_EXITED))
		*best = p;
}

struct process *process_find_pid(pid_t pid)
{
	struct process *best = NULL;

	list_each(link, pid_bucket(pid)) {
		struct process *p = CONTAINER_OF(link, struct process, pid_link);

		choose(p, p->pid == pid, &best);
	}
	return best;
}

struct process *process_find_label(const char *label)
{
	struct process *best = NULL;

	for (struct list *link = processes.all.prev; link != &processes.all; link = link->prev) {
		struct process *p = CONTAINER_OF(link, struct process, link);

		choose(p, p->spec->label && strcmp(p->spec->label, label) == 0, &best);
	}
	return best;
}

struct process *process_of(pid_t pid)
{
	struct process *p = process_find_pid(pid);
	struct tree_stat s;

	if (p && p->state < PROCESS_ENDED)
		return p;
	p = cgroup_owner_of(pid);
	/*
	 * The session that a leader made keeps its number taken as long as anybody is in it; those
	 * who left it have parents.
	 */
	for (int depth = 0; !p && depth < 64 && tree_stat(pid, &s) && pid > 1; depth++) {
		p = process_find_pid(s.session);
		pid = s.ppid;
	}
	return p;
}

void process_each(void (*fn)(struct process *p, void *ctx), void *ctx)
{
	list_each_safe(link, &processes.all) {
		struct process *p = CONTAINER_OF(link, struct process, link);

		if (!p->removed)
			fn(p, ctx);
	}
}

static void list_one(struct process *p, void *ctx)
{
	struct activity_processes *out = ctx;

	if (p->pid > 0 && !process_has_exited(p) && out->n < ARRAY_LEN(out->pids))
		out->pids[out->n++] = p->pid;
}

static void list_running(struct activity_processes *out)
{
	out->ended_us = processes.ended_us;
	process_each(list_one, out);
}

static int start(void)
{
	int err = launch_start();

	for (size_t i = 0; i < BUCKETS; i++) {
		list_init(&processes.by_id[i]);
		list_init(&processes.by_pid[i]);
	}
	processes.budget.max = ring_budget_max(RING_TOTAL_MAX);
	ev_init(&processes.calm, on_calm);
	processes.calm.repeat = CALM_S;
	if (!err)
		err = child_start();
	if (!err) {
		cgroup_start();
		record_start();
		identity_set_cgroups(cgroup_dir());
		inbox_start();
		activity_set_lister(list_running);
	}
	return err;
}

static void stop(void)
{
	ev_timer_stop(loop_ev(), &processes.calm);
	inbox_stop();
	record_stop();
	cgroup_stop();
}

static void ready(void)
{
	found_start();
	boot_start();
}

AREA(proc) = {.name = "proc", .start = start, .ready = ready, .stop = stop};
