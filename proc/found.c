/* proc/found.c - processes that a predecessor of this agent had started */
#include "proc/found.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "guestd/event.h"
#include "guestd/keeper.h"
#include "guestd/orphans.h"
#include "guestd/req.h"
#include "proc/cgroup.h"
#include "proc/keep.h"
#include "proc/process_impl.h"
#include "proc/record.h"

/* How long, and how often, we look whether somebody knows how it ended. */
#define PATIENCE_S 0.25
#define LOOK_S     0.01

/* The same where process 1 is going to say so: it does at once, but a guest may be busy. */
#define LONG_PATIENCE_S 2.0

/* Where a shell's redirections put what was 0, 1 or 2; and how many of a cgroup are looked at. */
#define FDS         10
#define MAX_HOLDERS 256

/* linux/pidfd.h of 6.15, which a distribution may not have yet. */
struct pidfd_info {
	uint64_t mask, cgroup;
	uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code;
};
#define PIDFD_GET_INFO  _IOWR(0xFF, 11, struct pidfd_info)
#define PIDFD_INFO_EXIT (UINT64_C(1) << 3)
BUILD_ASSERT(sizeof(struct pidfd_info) == 64);

/* The end */

static void stop_looking(struct found *f)
{
	ev_io_stop(loop_ev(), &f->io);
	ev_timer_stop(loop_ev(), &f->patience);
	fd_close(&f->pidfd);
}

/* However it was found out: by a wait of ours, by somebody else's, or not at all. */
static void on_exited(struct child *child, int status, const struct rusage *usage)
{
	struct found *f = CONTAINER_OF(child, struct process, child)->found;

	stop_looking(f);
	f->exited(child, status, usage);
}

static void end(struct found *f, int status)
{
	struct child *child = &f->process->child;
	const struct rusage none = {0};

	child_forget(child);
	child->exited(child, status, &none);
}

/* Was PID cloned when P was? */
static bool is_of_then(const struct process *p, pid_t pid)
{
	const unsigned long long ticks = (unsigned long long)sysconf(_SC_CLK_TCK);
	struct tree_stat s;

	return tree_stat(pid, &s) && s.started >= p->birth.cloned_us[0] * ticks / 1000000 &&
	       s.started <= p->birth.cloned_us[1] * ticks / 1000000;
}

/* A zombie says how it ended, as long as it has not been waited for: the 52nd field (proc(5)). */
static bool ask_zombie(const struct process *p, int *status)
{
	enum { STATE = 0, EXIT_CODE = 49 };
	char path[32], text[1024];
	const char *at;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)p->pid);
	if (!is_of_then(p, p->pid) || fd_read_file(path, text, sizeof(text)) <= 0)
		return false;
	at = strrchr(text, ')');
	for (int field = STATE; at && (at = strchr(at, ' ')); field++) {
		at++;
		if (field == STATE && *at != 'Z')
			return false;
		if (field == EXIT_CODE) {
			*status = (int)strtol(at, NULL, 10);
			return true;
		}
	}
	return false;
}

/* 1: how it ended is known.  0: not yet, its parent is waiting for it now.  -1: it never will be. */
static int ask_kernel(const struct found *f, int *status)
{
	struct pidfd_info info = {.mask = PIDFD_INFO_EXIT};

	if (f->pidfd < 0)
		return -1;
	if (ask_zombie(f->process, status))
		return 1;
	if (ioctl(f->pidfd, PIDFD_GET_INFO, &info) < 0)
		return errno == ESRCH ? 0 : -1;
	if (!(info.mask & PIDFD_INFO_EXIT))
		return 0;
	*status = info.exit_code;
	return 1;
}

/* Its leader is gone. */
static void look(struct found *f)
{
	int status = 0, known = ask_kernel(f, &status);

	if (known <= 0 && (known == 0 || orphans_expected()) && loop_now() < f->until) {
		ev_timer_again(loop_ev(), &f->patience);
		return;
	}
	f->process->exit.unknown = known <= 0;
	end(f, status);
}

static void gone(struct found *f)
{
	f->until = loop_now() + (orphans_expected() ? LONG_PATIENCE_S : PATIENCE_S);
	look(f);
}

static void on_pidfd(struct ev_loop *ev, struct ev_io *w, int revents)
{
	(void)revents;
	ev_io_stop(ev, w);
	gone(CONTAINER_OF(w, struct found, io));
}

static void on_patience(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)ev, (void)revents;
	look(CONTAINER_OF(w, struct found, patience));
}

bool found_is_alive(const struct found *f)
{
	struct pollfd p = {.fd = f->pidfd, .events = POLLIN};

	return f->pidfd >= 0 && poll(&p, 1, 0) == 0;
}

/* Whoever supervises us has reaped PID; perhaps before we had a look. */
static void on_orphan(pid_t pid, int status)
{
	struct process *p = process_find_pid(pid);

	if (p && p->found && p->state == PROCESS_RUNNING && !found_is_alive(p->found))
		end(p->found, status);
}

void found_free(struct found *f)
{
	if (f)
		stop_looking(f);
	free(f);
}

/* The leader */

/*
 * A pidfd, or -1.  Once that holds whoever has its number, we look whether that is the one that was
 * cloned then.  A zombie is in no cgroup any more (/proc shows the root), but is asked how it ended.
 */
static int hold_leader(const struct process *p, const struct record *r)
{
	int fd = r->exited ? -1 : (int)syscall(SYS_pidfd_open, p->pid, 0), status;

	if (fd >= 0 && !(is_of_then(p, p->pid) &&
			       (cgroup_owner_of(p->pid) == p || ask_zombie(p, &status))))
		fd_close(&fd);
	return fd;
}

/* Pipes */

struct search {
	uint64_t inode[3];
	int fd[3]; /* -1: not found */
	unsigned left;
};

/* A description of our own of the pipe that is PID's descriptor N: the other end of it. */
static int reopen(pid_t pid, int n, bool for_writing)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, n);
	fd = open(path, (for_writing ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	return fd;
}

static bool is_pipe(int fd, uint64_t inode)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && st.st_ino == inode;
}

static bool is_missing(const struct search *s)
{
	for (int i = 0; i < 3; i++) {
		if (s->inode[i] && s->fd[i] < 0)
			return true;
	}
	return false;
}

static bool search_one(pid_t pid, void *ctx)
{
	struct search *s = ctx;

	for (int n = 0; n < FDS; n++) {
		char path[64];
		struct stat st;

		snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, n);
		if (stat(path, &st) < 0 || !S_ISFIFO(st.st_mode))
			continue;
		for (int i = 0; i < 3; i++) {
			if (s->fd[i] >= 0 || !s->inode[i] || s->inode[i] != st.st_ino)
				continue;
			s->fd[i] = reopen(pid, n, i == 0);
			/* By now it may have become something else: look at what we have. */
			if (s->fd[i] >= 0 && !is_pipe(s->fd[i], s->inode[i]))
				fd_close(&s->fd[i]);
		}
	}
	return --s->left > 0 && is_missing(s);
}

static void connect_output(struct source *s, int fd)
{
	if (fd >= 0)
		source_start(s, fd, false);
	else
		s->eof = true;
}

/* What was kept is there also when nobody writes to it any more. */
static void take_kept(struct process *p, struct search *s)
{
	for (int i = 1; i < 3; i++) {
		s->fd[i] = s->inode[i] ? keeper_take(s->inode[i]) : -1;
		p->out[i - 1].kept = s->fd[i] >= 0 ? s->inode[i] : 0;
	}
}

static void connect(struct process *p, const struct record *r)
{
	struct search s = {{r->pipe[0], r->pipe[1], r->pipe[2]}, {-1, -1, -1}, MAX_HOLDERS};

	take_kept(p, &s);
	if (is_missing(&s) && (!found_is_alive(p->found) || search_one((pid_t)r->pid, &s)))
		cgroup_each_pid(p->cgroup, search_one, &s);
	if (is_missing(&s))
		log_debug("found", "nobody holds all of its pipes any more id=%s", p->id);
	connect_output(&p->out[0].source, s.fd[1]);
	connect_output(&p->out[1].source, s.fd[2]);
	if (s.fd[0] >= 0)
		sink_start(&p->in, s.fd[0]);
	else
		p->in.broken = true;
	keep_output(p);
}

/* One process */

static void watch_leader(struct process *p, struct found *f)
{
	f->exited = p->child.exited;
	p->child.exited = on_exited;
	ev_io_init(&f->io, on_pidfd, f->pidfd, EV_READ);
	ev_timer_init(&f->patience, on_patience, 0, LOOK_S);
	if (f->pidfd < 0)
		return;
	child_register(&p->child, p->pid);
	ev_io_start(loop_ev(), &f->io);
}

static void recall(struct process *p, const struct record *r)
{
	p->user = xstrdup(r->user);
	p->cwd = xstrdup(r->cwd);
	p->shell = xstrdup("");
	p->exit.started_us = r->started_us;
	p->started_mono_us = r->started_mono_us;
	p->birth.argv_truncated = r->argv_truncated;
	memcpy(p->birth.cloned_us, r->cloned_us, sizeof(p->birth.cloned_us));
	p->birth.noted = true;
	if (!r->exited)
		return;
	p->exit.exited_us = r->exited_us;
	p->exit.duration_us = r->duration_us;
}

static void tell(const struct process *p)
{
	struct enc *e = event_begin("process_found", 0, 2);

	enc_kv_text(e, "id", p->id);
	enc_kv_int(e, "pid", p->pid);
	event_end();
}

static void adopt(struct process *p, const struct record *r, struct cgroup *cg)
{
	struct found *f = xcalloc(1, sizeof(*f));

	f->process = p;
	p->found = f;
	launch_hold_cgroup(p, cg);
	process_set_pid(p, (pid_t)r->pid);
	recall(p, r);
	f->pidfd = hold_leader(p, r);
	p->state = PROCESS_RUNNING;
	watch_leader(p, f);
	connect(p, r);
	tell(p);
	if (r->exited) {
		end(f, (int)r->status);
		return;
	}
	stop_arm_timeout(p);
	if (f->pidfd < 0)
		gone(f);
	process_check_wanted(p); /* all connections have ended with the predecessor */
}

/* All */

struct left {
	struct cgroup *cgroup;
	struct arena *params;
	const struct record *record;
};

static struct {
	struct left *at;
	size_t n, cap;
	size_t unknown;
} all;

static void leave_alone(const char *why)
{
	all.unknown++;
	log_limited(LOG_WARN, "found", "somebody's processes are left alone why=\"%s\"", why);
}

static bool on_left(struct cgroup *cg, const char *note, size_t len)
{
	struct left left = {.cgroup = cg};
	char why[200] = "there is no note of it";

	if (note)
		left.record = record_read(note, len, &left.params, why, sizeof(why));
	if (!left.record) {
		leave_alone(why);
		return false;
	}
	if (all.n == all.cap) {
		all.cap = all.cap ? 2 * all.cap : 16;
		all.at = realloc(all.at, all.cap * sizeof(*all.at));
		ASSERT(all.at);
	}
	all.at[all.n++] = left;
	return true;
}

static int by_age(const void *a, const void *b)
{
	uint64_t x = ((const struct left *)a)->record->cloned_us[0];
	uint64_t y = ((const struct left *)b)->record->cloned_us[0];

	return (x > y) - (x < y);
}

static void take(const struct left *left)
{
	const struct record *r = left->record;
	struct process *p = NULL;
	struct failure f;

	if (process_find(r->spec.id)) {
		leave_alone("another process has its id");
		params_free(left->params);
	} else {
		p = process_new(left->params, &r->spec, &f);
		if (!p)
			leave_alone(f.message);
	}
	if (p)
		adopt(p, r, left->cgroup);
	else
		cgroup_release(left->cgroup);
}

void found_start(void)
{
	size_t n = cgroup_each_left(on_left);

	orphans_set_listener(on_orphan);
	ev_now_update(loop_ev()); /* timers begin now, not when the loop was made */
	if (all.n)
		qsort(all.at, all.n, sizeof(*all.at), by_age);
	for (size_t i = 0; i < all.n; i++)
		take(&all.at[i]);
	if (n)
		log_info("found", "processes of an agent before this one found=%zu left-alone=%zu",
			n - all.unknown, all.unknown);
	free(all.at);
	all.at = NULL;
	keeper_done();
}
