/*
 * proc/launch.c - from a description to a running program
 *
 * Users are known, a cgroup and pipes or a terminal are made, a child is cloned; when its exec is
 * told of, the pipes get their pumps and the followers hear that it started.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "guestd/config.h"
#include "guestd/event.h"
#include "guestd/loop.h"
#include "proc/cgroup.h"
#include "proc/process_impl.h"
#include "proc/record.h"

/* How often the user files may change under a spawn before it is given up. */
#define MAX_ATTEMPTS 5

static const struct process_pipes NO_PIPES = {{-1, -1}, {-1, -1}, {-1, -1}};

static int null_fd = -1; /* what a process without stdin reads */

/* Stacks of children that have executed: allocating 20 KiB anew costs more than all else here. */
static struct {
	struct spawn *at[16];
	size_t n;
} spare;

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

void launch_close_pipes(struct process_pipes *t)
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

	if (spec->want_stdin)
		err = make_pipe(t->in, 1);
	if (!err)
		err = make_pipe(t->out, 0);
	if (!err && !spec->merge)
		err = make_pipe(t->err, 0);
	if (err)
		launch_close_pipes(t);
	return err;
}

void launch_give_up(struct process *p)
{
	struct failure f;

	failure_set(&f, ERR_CANCELED, NULL, NULL, "canceled before it started");
	process_fail(p, &f);
}

static struct spawn *take_spawn(void)
{
	return spare.n ? spare.at[--spare.n] : spawn_new();
}

void launch_free_spawn(struct process *p)
{
	if (p->spawn && spare.n < ARRAY_LEN(spare.at))
		spare.at[spare.n++] = p->spawn;
	else if (p->spawn)
		spawn_free(p->spawn);
	p->spawn = NULL;
	arena_free(p->spawn_arena);
	p->spawn_arena = NULL;
}

static void spawn_failed(struct process *p, const struct spawn *s)
{
	static const char *const attempt[] = {
		[SPAWN_USER] = "become the user ",
		[SPAWN_PTY] = "get a terminal",
		[SPAWN_CGROUP] = "enter a cgroup",
		[SPAWN_RLIMIT] = "set the limits or the priority",
		[SPAWN_CHDIR] = "enter the directory ",
		[SPAWN_EXEC] = "run ",
	};
	const char *what = s->stage == SPAWN_CHDIR  ? s->cwd
			   : s->stage == SPAWN_EXEC ? s->argv[0]
						    : NULL;
	struct failure f;

	failure_set(&f, s->err, spawn_stage_name(s->stage), what, "cannot %s%s: %s",
		attempt[s->stage],
		what                     ? what
		: s->stage == SPAWN_USER ? s->account.name
					 : "",
		strerror(-s->err));
	process_fail(p, &f);
}

static void try_again(struct process *p)
{
	struct failure f;

	child_forget(&p->child); /* it is on its way out, and reaped like an orphan */
	process_leave_cgroup(p);
	launch_close_pipes(&p->pipes);
	terminal_close(&p->tty);
	ev_timer_stop(loop_ev(), &p->timeout);
	p->state = PROCESS_WAITING;
	if (p->stopping) {
		launch_give_up(p);
	} else if (p->attempts == MAX_ATTEMPTS) {
		failure_set(&f, ERR_BUSY, "user", NULL,
			"the files of the users changed again and again");
		process_fail(p, &f);
	} else {
		users_load(&p->users);
	}
}

/* What is asked of it later, when the spawn is gone. */
static void note_account(struct process *p, const struct spawn *s)
{
	p->user = xstrdup(s->account.name);
	p->shell = xstrdup(s->account.shell);
	p->cwd = xstrdup(s->at_root ? "/" : s->cwd);
	if (p->spec->artifacts.n) {
		p->account = xmalloc(sizeof(*p->account));
		*p->account = s->account;
	}
}

static void connect_terminal(struct process *p)
{
	int in = fcntl(p->tty.master, F_DUPFD_CLOEXEC, 3);

	if (in < 0)
		log_warn("process", "no input for the terminal id=%s err=%s", p->id,
			err_name(-errno));
	else
		sink_start(&p->in, in);
	source_start(&p->out[0].source, take_fd(&p->tty.master), true);
	p->out[1].source.eof = true;
}

static void connect_streams(struct process *p)
{
	if (p->spec->pty.given) {
		connect_terminal(p);
		return;
	}
	source_start(&p->out[0].source, take_fd(&p->pipes.out[0]), false);
	if (p->spec->merge)
		p->out[1].source.eof = true;
	else
		source_start(&p->out[1].source, take_fd(&p->pipes.err[0]), false);
	if (p->spec->want_stdin)
		sink_start(&p->in, take_fd(&p->pipes.in[1]));
}

static void tell_started(const struct process *p)
{
	struct enc *e = event_begin("process_started", 0, 2);

	enc_kv_text(e, "id", p->id);
	enc_kv_int(e, "pid", p->pid);
	event_end();
}

static void on_spawned(struct spawn *s)
{
	struct process *p = s->owner;
	bool at_root;

	if (s->stage == SPAWN_STALE) {
		launch_free_spawn(p);
		try_again(p);
		return;
	}
	if (s->err) {
		p->state = PROCESS_WAITING;
		spawn_failed(p, s);
		return;
	}
	note_account(p, s);
	at_root = s->at_root;
	launch_free_spawn(p);
	if (at_root && p->birth.noted)
		record_write(p); /* its cwd is another one than was noted */
	p->state = PROCESS_RUNNING;
	connect_streams(p);
	tell_started(p);
	EACH_FOLLOWER(p, f, started);
}

/* Its descriptors 0 to 2.  0, or -errno with *STAGE. */
static int make_fds(struct process *p, struct spawn *s, const char **stage)
{
	const struct process_pipes *t = &p->pipes;
	const struct spec_pty *pty = &p->spec->pty;
	int err;

	p->pipes = NO_PIPES;
	s->tty = pty->given;
	if (s->tty) {
		*stage = "pty";
		err = terminal_open(pty->rows, pty->cols, s->account.uid, &p->tty);
		s->fds[0] = s->fds[1] = s->fds[2] = p->tty.slave;
		return err;
	}
	*stage = "exec";
	err = make_pipes(p->spec, &p->pipes);
	s->fds[0] = p->spec->want_stdin ? t->in[0] : null_fd;
	s->fds[1] = t->out[1];
	s->fds[2] = p->spec->merge ? t->out[1] : t->err[1];
	return err;
}

static void on_cgroup_emptied(void *owner)
{
	struct process *p = owner;

	stop_check(p);
	/* While its child is not reaped, it is asked what it died of. */
	if (p->cgroup && !p->child.pid && !cgroup_populated(p->cgroup))
		process_leave_cgroup(p);
}

static void on_oom(void *owner, uint64_t n)
{
	const struct process *p = owner;
	struct enc *e = event_begin("oom_kill", 0, 3);

	enc_kv_text(e, "id", p->id);
	enc_kv_int(e, "pid", p->pid);
	enc_kv_uint(e, "kills", n);
	event_end();
}

static const struct cgroup_ops cgroup_ops = {.emptied = on_cgroup_emptied, .oom = on_oom};

void launch_hold_cgroup(struct process *p, struct cgroup *cg)
{
	p->cgroup = cg;
	cgroup_hold(cg, &cgroup_ops, p);
}

/* 0, or F is filled. */
static int make_cgroup(struct process *p, struct spawn *s, struct failure *f)
{
	f->err = 0;
	p->cgroup = cgroup_new(&p->spec->limits.values, &cgroup_ops, p, f);
	s->cgroup = p->cgroup ? cgroup_fd(p->cgroup) : -1;
	return f->err;
}

/* 0 or -errno. */
static int start_child(struct process *p, struct spawn *s)
{
	struct process_pipes *t = &p->pipes;
	pid_t pid;

	s->owner = p;
	s->done = on_spawned;
	p->exit.started_us = clock_real_us();
	p->started_mono_us = clock_mono_us();
	p->birth.cloned_us[0] = clock_boot_us();
	pid = spawn_start(s);
	p->birth.cloned_us[1] = clock_boot_us();
	fd_close(&t->in[0]);
	fd_close(&t->out[1]);
	fd_close(&t->err[1]);
	if (pid < 0)
		return pid;
	process_set_pid(p, pid);
	child_register(&p->child, pid);
	stop_arm_timeout(p);
	record_begin(p);
	return 0;
}

static void launch(struct process *p)
{
	const struct users *users = users_current();
	struct account account;
	const char *stage;
	struct failure f;
	int err;

	p->attempts++;
	if (users_resolve(
		    users, p->spec->user ? p->spec->user : config()->default_user, &account, &f)) {
		process_fail(p, &f);
		return;
	}
	p->spawn = take_spawn();
	p->spawn_arena = arena_new(spec_arena(p->spec));
	if (p->spawn_arena)
		p->spawn_arena->secret = true; /* it holds the environment */
	if (!p->spawn || !p->spawn_arena) {
		failure_set(&f, -ENOMEM, "exec", NULL, "out of memory for the new process");
		process_fail(p, &f);
		return;
	}
	spec_prepare(p->spec, &account, p->spawn_arena, p->spawn);
	p->spawn->stamps = *users_stamps(users);
	if (make_cgroup(p, p->spawn, &f)) {
		process_fail(p, &f);
		return;
	}
	err = make_fds(p, p->spawn, &stage);
	if (!err) {
		stage = "exec";
		p->state = PROCESS_SPAWNING;
		err = start_child(p, p->spawn);
	}
	if (err) {
		p->state = PROCESS_WAITING;
		failure_set(&f, err, stage, NULL, "cannot make a %s: %s",
			*stage == 'p' ? "terminal" : "process", strerror(-err));
		process_fail(p, &f);
	}
}

static void on_users(struct users_wait *wait)
{
	launch(CONTAINER_OF(wait, struct process, users));
}

void process_start(struct process *p)
{
	if (users_current())
		launch(p);
	else
		users_load(&p->users);
}

/* Nothing, at once. */
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

void launch_init(struct process *p)
{
	p->pipes = NO_PIPES;
	p->users.ready = on_users;
	list_init(&p->users.link);
}

int launch_start(void)
{
	spawn_init();
	null_fd = open_null();
	return null_fd < 0 ? null_fd : 0;
}
