/* proc/process.c - a process that the agent started, and those who follow it */
#include "proc/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "guestd/area.h"
#include "guestd/config.h"
#include "guestd/identity.h"
#include "guestd/req.h"
#include "proto/limits.h"

/* After the exit, output that something left behind still holds is waited for this long. */
#define DRAIN_S 0.2

/* While a tree is being stopped, how often we look who is left of it. */
#define CHECK_S 0.02

/* How often the user files may change under a spawn before it is given up. */
#define MAX_ATTEMPTS 5

/* Unread input: a window of credit, or what a connection without credits may leave unread. */
#define INPUT_MAX (MAX_FRAME + INPUT_HIGH + INPUT_WINDOW)

static struct {
	struct list all;
	size_t n_live;
	struct list exited; /* the oldest first */
	size_t n_exited, exited_bytes;
	unsigned long made;
	int null_fd; /* /dev/null, for stdin */
	struct ring_budget budget;
} processes = {
	.all = {&processes.all, &processes.all},
	.exited = {&processes.exited, &processes.exited},
	.null_fd = -1,
	.budget = {.max = RING_TOTAL_MAX},
};

struct ring_budget *process_budget(void)
{
	return &processes.budget;
}

/* Pipes */

static const struct process_pipes NO_PIPES = {{-1, -1}, {-1, -1}, {-1, -1}};

/* A pipe whose end OURS (0 reads, 1 writes) is non-blocking: the two ends do not share flags. */
static int make_pipe(int fds[2], int ours)
{
	int err;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	if (fcntl(fds[ours], F_SETFL, O_NONBLOCK) == 0)
		return 0;
	err = -errno;
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	return err;
}

static void close_pipes(struct process_pipes *t)
{
	for (int i = 0; i < 2; i++) {
		fd_close(&t->in[i]);
		fd_close(&t->out[i]);
		fd_close(&t->err[i]);
	}
}

static int make_pipes(const struct spec *spec, struct process_pipes *t)
{
	int err = 0;

	*t = NO_PIPES;
	if (spec->want_stdin)
		err = make_pipe(t->in, 1);
	if (!err)
		err = make_pipe(t->out, 0);
	if (!err && !spec->merge)
		err = make_pipe(t->err, 0);
	if (err)
		close_pipes(t);
	return err;
}

/* Life and death */

static void bury(struct grave *grave)
{
	struct process *p = CONTAINER_OF(grave, struct process, grave);

	for (int i = 0; i < 2; i++)
		source_fini(&p->out[i].source);
	sink_fini(&p->in);
	close_pipes(&p->pipes);
	free(p->spawn);
	arena_free(p->spawn_arena);
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
	ev_timer_stop(loop_ev(), &p->timeout);
	ev_timer_stop(loop_ev(), &p->grace);
	ev_timer_stop(loop_ev(), &p->drain);
	for (int i = 0; i < 2; i++)
		ev_io_stop(loop_ev(), &p->out[i].source.io);
	ev_io_stop(loop_ev(), &p->in.io);
	ev_timer_stop(loop_ev(), &p->check);
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
static void process_settle(struct process *p)
{
	if (p->state != PROCESS_ENDED || p->buried || !list_empty(&p->exited_link) ||
		!p->out[0].source.eof || !p->out[1].source.eof)
		return;
	for (int i = 0; i < 2; i++) {
		if (list_empty(&p->followers))
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

/* Calls FN of every follower; it may detach itself, and no other. */
#define EACH_FOLLOWER(p, f, fn, ...)                                                               \
	list_each_safe(f##_link, &(p)->followers) {                                                \
		struct follower *f = CONTAINER_OF(f##_link, struct follower, link);                \
		f->ops->fn(f, ##__VA_ARGS__);                                                      \
	}

static void process_fail(struct process *p, const struct failure *failure)
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

static void check_ended(struct process *p);

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
		check_ended(p);
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
	p->exit.eof = p->out[0].source.eof && p->out[1].source.eof;
	for (int i = 0; i < 2; i++) {
		p->out[i].end = p->out[i].source.ring.head;
		p->exit.bytes[i] = p->out[i].end;
		p->exit.dropped[i] = p->out[i].dropped;
	}
	on_consumed(&p->in, buf_len(&p->in.queue)); /* nobody will read the rest */
	sink_fini(&p->in);
	log_debug("process", "ended id=%s pid=%d eof=%d", p->id, (int)p->pid, p->exit.eof);
	EACH_FOLLOWER(p, f, ended);
	process_settle(p);
}

static void check_ended(struct process *p)
{
	if (p->state == PROCESS_EXITED && p->out[0].source.eof && p->out[1].source.eof &&
		p->tree.n == 0)
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
	if (p->tree.n)
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
	tree_prune(&p->tree);
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
	check_ended(p);
}

/* Stopping */

/*
 * The leader made its group before anything else, but it may not have come so far.  Until it
 * is reaped its pid is nobody else's, as process or as group (child.h).
 */
static void signal_group(struct process *p, int number)
{
	if (p->child.pid && kill(-p->child.pid, number) < 0)
		kill(p->child.pid, number);
}

/* The last look while the leader's pid, group and session are surely its own. */
static void on_exiting(struct child *child)
{
	struct process *p = CONTAINER_OF(child, struct process, child);

	if (p->killing)
		signal_group(p, SIGKILL);
	tree_update(&p->tree, child->pid);
}

/* While it is stopping: who is left? */
static void on_check(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct process *p = CONTAINER_OF(w, struct process, check);

	(void)revents;
	if (p->killing) {
		tree_update(&p->tree, p->child.pid);
		tree_signal(&p->tree, SIGKILL, true);
	}
	if (tree_prune(&p->tree) == 0 && p->state >= PROCESS_EXITED) {
		ev_timer_stop(ev, w);
		ev_timer_stop(ev, &p->grace);
		check_ended(p);
	}
}

static void on_grace(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct process *p = CONTAINER_OF(w, struct process, grace);

	(void)revents;
	p->killing = true;
	signal_group(p, SIGKILL);
	on_check(ev, &p->check, 0);
}

static void give_up_waiting(struct process *p)
{
	struct failure f;

	failure_set(&f, ERR_CANCELED, NULL, NULL, "canceled before it started");
	process_fail(p, &f);
}

void process_stop(struct process *p)
{
	if (p->stopping || p->state >= PROCESS_EXITED)
		return;
	p->stopping = true;
	if (p->state == PROCESS_WAITING) {
		give_up_waiting(p);
		return;
	}
	child_watch_exit(&p->child, on_exiting);
	tree_update(&p->tree, p->child.pid);
	signal_group(p, SIGTERM);
	tree_signal(&p->tree, SIGTERM, false);
	signal_group(p, SIGCONT); /* one that was stopped could not hear it */
	tree_signal(&p->tree, SIGCONT, false);
	p->check.repeat = CHECK_S;
	ev_timer_again(loop_ev(), &p->check);
	ev_timer_init(&p->grace, on_grace, (ev_tstamp)p->spec->grace_ms / 1000, 0);
	ev_timer_start(loop_ev(), &p->grace);
}

static void on_timeout(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct process *p = CONTAINER_OF(w, struct process, timeout);

	(void)ev, (void)revents;
	p->exit.timed_out = true;
	process_stop(p);
}

/* Starting */

static void spawn_free(struct process *p)
{
	free(p->spawn);
	p->spawn = NULL;
	arena_free(p->spawn_arena);
	p->spawn_arena = NULL;
}

static const char *stage_path(const struct spawn *s)
{
	if (s->stage == SPAWN_CHDIR)
		return s->cwd;
	return s->stage == SPAWN_EXEC ? s->argv[0] : NULL;
}

static void spawn_failed(struct process *p, const struct spawn *s)
{
	struct failure f;
	const char *path = stage_path(s);

	failure_set(&f, s->err, spawn_stage_name(s->stage), path, "cannot %s%s%s: %s",
		s->stage == SPAWN_CHDIR    ? "enter the directory "
		: s->stage == SPAWN_EXEC   ? "run "
		: s->stage == SPAWN_RLIMIT ? "set the limits or the priority"
					   : "become the user",
		path ? path : "", s->stage == SPAWN_USER ? s->account.name : "", strerror(-s->err));
	process_fail(p, &f);
}

static void try_again(struct process *p)
{
	struct failure f;

	child_forget(&p->child); /* it is on its way out, and reaped like an orphan */
	close_pipes(&p->pipes);
	ev_timer_stop(loop_ev(), &p->timeout);
	p->state = PROCESS_WAITING;
	if (p->stopping) {
		give_up_waiting(p);
	} else if (p->attempts == MAX_ATTEMPTS) {
		failure_set(&f, ERR_BUSY, "user", NULL,
			"the files of the users changed again and again");
		process_fail(p, &f);
	} else {
		users_load(&p->users);
	}
}

static void on_spawned(struct spawn *s)
{
	struct process *p = s->owner;

	if (s->stage == SPAWN_STALE) {
		spawn_free(p);
		try_again(p);
		return;
	}
	if (s->err) {
		p->state = PROCESS_WAITING;
		spawn_failed(p, s);
		return;
	}
	spawn_free(p);
	p->state = PROCESS_RUNNING;
	source_start(&p->out[0].source, take_fd(&p->pipes.out[0]));
	if (p->spec->merge)
		p->out[1].source.eof = true;
	else
		source_start(&p->out[1].source, take_fd(&p->pipes.err[0]));
	if (p->spec->want_stdin)
		sink_start(&p->in, take_fd(&p->pipes.in[1]));
	EACH_FOLLOWER(p, f, started);
}

/* 0 or -errno. */
static int start_child(struct process *p, struct spawn *s)
{
	struct process_pipes *t = &p->pipes;
	pid_t pid;
	int err = make_pipes(p->spec, t);

	if (err)
		return err;
	s->fds[0] = p->spec->want_stdin ? t->in[0] : processes.null_fd;
	s->fds[1] = t->out[1];
	s->fds[2] = p->spec->merge ? t->out[1] : t->err[1];
	s->owner = p;
	s->done = on_spawned;
	p->exit.started_us = clock_real_us();
	p->started_mono_us = clock_mono_us();
	pid = spawn_start(s);
	fd_close(&t->in[0]);
	fd_close(&t->out[1]);
	fd_close(&t->err[1]);
	if (pid < 0)
		return pid;
	p->pid = pid;
	child_register(&p->child, pid);
	if (p->spec->timeout_ms) {
		ev_timer_set(&p->timeout, (ev_tstamp)p->spec->timeout_ms / 1000, 0);
		ev_timer_start(loop_ev(), &p->timeout);
	}
	return 0;
}

static void launch(struct process *p)
{
	const struct users *users = users_current();
	struct account account;
	struct failure f;
	int err;

	p->attempts++;
	if (users_resolve(
		    users, p->spec->user ? p->spec->user : config()->default_user, &account, &f)) {
		process_fail(p, &f);
		return;
	}
	p->spawn = malloc(sizeof(*p->spawn));
	p->spawn_arena = arena_new(spec_arena(p->spec));
	if (!p->spawn || !p->spawn_arena) {
		failure_set(&f, -ENOMEM, "exec", NULL, "out of memory for the new process");
		process_fail(p, &f);
		return;
	}
	spec_prepare(p->spec, &account, p->spawn_arena, p->spawn);
	p->spawn->stamps = *users_stamps(users);
	p->state = PROCESS_SPAWNING;
	err = start_child(p, p->spawn);
	if (err) {
		p->state = PROCESS_WAITING;
		failure_set(&f, err, "exec", NULL, "cannot make a process: %s", strerror(-err));
		process_fail(p, &f);
	}
}

static void on_users(struct users_wait *wait)
{
	launch(CONTAINER_OF(wait, struct process, users));
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
	p->pipes = NO_PIPES;
	p->params = params;
	p->spec = spec;
	p->child.exited = on_exited;
	p->users.ready = on_users;
	list_init(&p->users.link);
	list_init(&p->followers);
	list_init(&p->exited_link);
	ev_init(&p->timeout, on_timeout);
	ev_init(&p->grace, on_grace);
	ev_init(&p->drain, on_drain);
	ev_init(&p->check, on_check);
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

void process_start(struct process *p)
{
	if (users_current())
		launch(p);
	else
		users_load(&p->users);
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

/* Following */

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

/* What a process without stdin reads: nothing, at once. */
static int open_null(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), empty[2];

	if (fd >= 0)
		return fd;
	/* An image may have no /dev: a pipe that nobody writes to is at its end as well. */
	if (pipe2(empty, O_CLOEXEC) < 0)
		return -errno;
	fd_close(&empty[1]);
	return empty[0];
}

static int start(void)
{
	spawn_init();
	processes.null_fd = open_null();
	return processes.null_fd < 0 ? processes.null_fd : child_start();
}

AREA(proc) = {.name = "proc", .start = start};
