/*
 * proc/cgroup.c - a cgroup for each process: whose each is, the spare ones, what the kernel tells
 *
 *	cgroup_new --> HELD --cgroup_release--> LEAVING --> SPARE --> HELD ...
 *	                        something lives in it  |
 *	                                               `--> removed: limited, touched, or too many
 *
 * One inotify descriptor tells of all of them:
 *	the directory          somebody writes to it or makes others below it: a process that runs
 *	                       as root may freeze or limit itself, and the next one must not find it so
 *	memory.events          the kernel killed for want of memory
 *	cgroup.events          empty; only while somebody wants to know, for each exec changes it twice
 */
#include "proc/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "guestd/config.h"
#include "guestd/loop.h"
#include "proc/cgfs.h"
#include "proc/cgroup_base.h"
#include "proc/cgroup_left.h"
#include "proc/cgroup_limits.h"

/*
 * Spare ones: as many as short processes run side by side.  Each has three descriptors; so those
 * that were not needed for a while go.
 */
#define MAX_SPARE 64
#define TRIM_S    1.0

/* When what could not be removed, or not be watched, is looked at again. */
#define RETRY_S 1.0

enum cgroup_state { HELD, LEAVING, SPARE };

struct cgroup {
	unsigned number; /* its name */
	enum cgroup_state state;
	struct list link;    /* SPARE: cgroups.spare */
	ev_tstamp spared;    /* SPARE: the turn in which it became that */
	int dir, empty, oom; /* it, its cgroup.events, its memory.events (-1: no such controller) */
	int dir_wd, empty_wd, oom_wd;
	bool limited;                  /* it was made with limits */
	bool touched;                  /* somebody changed it */
	bool noted;                    /* see cgroup_note */
	bool watched;                  /* the owner waits for emptied(); LEAVING: we do */
	uint64_t oom_before, oom_told; /* of memory.events; what the owner knows beyond that */
	const struct cgroup_ops *ops;
	void *owner;
	struct turn emptied; /* it was empty when the owner asked */
};

static struct {
	struct cgroup_base base;
	struct cgroup **at; /* by number */
	unsigned cap;
	struct list spare;      /* the oldest first */
	size_t n_spare, unused; /* how many; the least of that since the last trim */
	int inotify;
	struct ev_io events;
	struct ev_timer retry, trim;
} cgroups = {
	.base = {.dir = -1},
	.spare = {&cgroups.spare, &cgroups.spare},
	.inotify = -1,
};

/* One cgroup */

static void name_of(const struct cgroup *cg, char name[16])
{
	snprintf(name, 16, "%u", cg->number);
}

/* inotify takes paths only.  A watch descriptor, or -1: then it is looked at now and then. */
static int watch(const struct cgroup *cg, const char *file, uint32_t mask)
{
	char path[PATH_MAX + 64];
	int wd;

	snprintf(path, sizeof(path), "%s/%u/%s", cgroups.base.path, cg->number, file);
	wd = inotify_add_watch(cgroups.inotify, path, mask);
	if (wd < 0)
		log_limited(LOG_WARN, "cgroup", "cannot watch path=%s err=%s%s", path,
			err_name(-errno),
			errno == ENOSPC ? " (raise fs.inotify.max_user_watches)" : "");
	return wd;
}

static void unwatch(int *wd)
{
	if (*wd >= 0)
		inotify_rm_watch(cgroups.inotify, *wd);
	*wd = -1;
}

/* Closes all that is open of it. */
static void forget(struct cgroup *cg)
{
	turn_cancel(&cg->emptied);
	/* The kernel keeps a watch on a file of a cgroup that is gone. */
	unwatch(&cg->dir_wd);
	unwatch(&cg->empty_wd);
	unwatch(&cg->oom_wd);
	fd_close(&cg->dir);
	fd_close(&cg->empty);
	fd_close(&cg->oom);
	if (cg->number < cgroups.cap && cgroups.at[cg->number] == cg)
		cgroups.at[cg->number] = NULL;
}

/* The lowest number from FROM on that nobody has; MAX_CGROUPS: none. */
static unsigned free_number(unsigned from)
{
	while (from < cgroups.cap && cgroups.at[from])
		from++;
	if (from >= cgroups.cap && from < MAX_CGROUPS) {
		unsigned cap = MIN(MAX_CGROUPS, MAX(64, 2 * from));

		cgroups.at = realloc(cgroups.at, cap * sizeof(struct cgroup *));
		ASSERT(cgroups.at);
		memset(cgroups.at + cgroups.cap, 0, (cap - cgroups.cap) * sizeof(struct cgroup *));
		cgroups.cap = cap;
	}
	return from;
}

/* The empty cgroup CG is nobody's: it becomes spare, or goes. */
static void retire(struct cgroup *cg)
{
	char name[16];

	unwatch(&cg->empty_wd);
	cg->watched = false;
	if (!cg->limited && !cg->touched && cgroups.n_spare < MAX_SPARE) {
		cg->state = SPARE;
		cg->spared = loop_now();
		list_add_tail(&cgroups.spare, &cg->link);
		cgroups.n_spare++;
		if (!ev_is_active(&cgroups.trim))
			ev_timer_again(loop_ev(), &cgroups.trim);
		return;
	}
	cg->state = LEAVING;
	name_of(cg, name);
	if (cgfs_remove(cgroups.base.dir, name)) {
		ev_timer_again(loop_ev(), &cgroups.retry);
		return;
	}
	forget(cg);
	free(cg);
}

static void unspare(struct cgroup *cg)
{
	list_del(&cg->link);
	cgroups.n_spare--;
	cgroups.unused = MIN(cgroups.unused, cgroups.n_spare);
}

/*
 * One that became spare in an earlier turn: before that, what inotify has to say of its last
 * process was not looked at for sure.
 */
static struct cgroup *take_spare(void)
{
	struct cgroup *cg = LIST_FIRST(&cgroups.spare, struct cgroup, link);

	if (!cg || cg->spared == loop_now())
		return NULL;
	unspare(cg);
	return cg;
}

static void tell_emptied(struct cgroup *cg)
{
	turn_cancel(&cg->emptied);
	cg->watched = false;
	unwatch(&cg->empty_wd);
	cg->ops->emptied(cg->owner);
}

static void on_emptied_turn(struct turn *turn)
{
	tell_emptied(CONTAINER_OF(turn, struct cgroup, emptied));
}

/* The directory; a guest process may have made one of this name, which is then left to it. */
static int make_dir(unsigned *number)
{
	char name[16];

	for (unsigned n = free_number(0); n < MAX_CGROUPS; n = free_number(n + 1)) {
		snprintf(name, sizeof(name), "%u", n);
		if (mkdirat(cgroups.base.dir, name, 0755) == 0) {
			*number = n;
			return 0;
		}
		if (errno != EEXIST)
			return -errno;
	}
	return ERR_LIMIT;
}

/* 0 or -errno. */
static int open_files(struct cgroup *cg)
{
	char name[16];
	int fd;

	name_of(cg, name);
	fd = cgfs_open(cgroups.base.dir, name);
	if (fd < 0)
		return fd;
	cg->dir = fd;
	cg->empty = openat(cg->dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
	if (cg->empty < 0)
		return -errno;
	if (*cgroups.base.lacks[CG_MEMORY])
		return 0;
	cg->oom = openat(cg->dir, "memory.events", O_RDONLY | O_CLOEXEC);
	return cg->oom < 0 ? -errno : 0;
}

static struct cgroup *cgroup_of(unsigned number)
{
	struct cgroup *cg = xcalloc(1, sizeof(*cg));

	cg->number = number;
	list_init(&cg->link);
	turn_init(&cg->emptied, on_emptied_turn);
	cg->dir = cg->empty = cg->oom = cg->dir_wd = cg->empty_wd = cg->oom_wd = -1;
	cgroups.at[number] = cg;
	return cg;
}

/* A new one, or NULL with *ERR. */
static struct cgroup *make(int *err)
{
	struct cgroup *cg;
	unsigned number = 0;

	*err = make_dir(&number);
	if (*err)
		return NULL;
	cg = cgroup_of(number);
	*err = open_files(cg);
	if (*err) {
		cg->touched = true;
		retire(cg);
		return NULL;
	}
	cg->dir_wd = watch(cg, ".", IN_CLOSE_WRITE | IN_CREATE | IN_DELETE_SELF);
	if (cg->oom >= 0)
		cg->oom_wd = watch(cg, "memory.events", IN_MODIFY);
	/* Unwatched it is as good as any, but whether it is clean afterwards is not known. */
	cg->touched = cg->dir_wd < 0;
	return cg;
}

/* What the kernel tells */

static uint64_t read_oom(const struct cgroup *cg)
{
	uint64_t n = 0;

	return cg->oom >= 0 && cgfs_value(cg->oom, "oom_kill", &n) ? n : 0;
}

/* How often it killed since cgroup_new. */
static uint64_t oom_kills(const struct cgroup *cg)
{
	uint64_t n = read_oom(cg);

	return n > cg->oom_before ? n - cg->oom_before : 0;
}

static void check_oom(struct cgroup *cg)
{
	uint64_t n;

	if (cg->state != HELD)
		return;
	n = oom_kills(cg);
	if (n <= cg->oom_told)
		return;
	cg->oom_told = n;
	cg->ops->oom(cg->owner, n);
}

static void check_empty(struct cgroup *cg)
{
	if (cg->state == SPARE || (cg->state == HELD && !cg->watched) || cgroup_populated(cg))
		return;
	if (cg->state == HELD) {
		check_oom(cg);
		tell_emptied(cg);
	} else {
		cg->oom_before = read_oom(cg);
		cg->oom_told = 0;
		retire(cg);
	}
}

/* It is not to be used again. */
static void touch(struct cgroup *cg)
{
	cg->touched = true;
	if (cg->state == SPARE) {
		unspare(cg);
		retire(cg);
	}
}

static void on_trim(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	size_t surplus = cgroups.unused;

	(void)revents;
	list_each_safe(link, &cgroups.spare) {
		if (surplus-- == 0)
			break;
		touch(CONTAINER_OF(link, struct cgroup, link));
	}
	cgroups.unused = cgroups.n_spare;
	if (cgroups.n_spare == 0)
		ev_timer_stop(ev, w);
}

/* Writing to these leaves nothing behind; to cgroup.kill it does: see cgroup_kill. */
static bool is_harmless(const char *file)
{
	return strcmp(file, "cgroup.procs") == 0 || strcmp(file, "cgroup.threads") == 0;
}

static void look_at_all(bool touched)
{
	for (unsigned i = 0; i < cgroups.cap; i++) {
		if (cgroups.at[i] && touched)
			touch(cgroups.at[i]);
		if (cgroups.at[i])
			check_oom(cgroups.at[i]);
		if (cgroups.at[i])
			check_empty(cgroups.at[i]);
	}
}

static void on_event(const struct inotify_event *e)
{
	if (e->mask & IN_Q_OVERFLOW) {
		look_at_all(true);
		return;
	}
	for (unsigned i = 0; i < cgroups.cap; i++) {
		struct cgroup *cg = cgroups.at[i];

		if (!cg)
			continue;
		if (e->wd == cg->oom_wd) {
			check_oom(cg);
			return;
		}
		if (e->wd == cg->empty_wd) {
			check_empty(cg);
			return;
		}
		if (e->wd == cg->dir_wd) {
			if (e->mask & IN_IGNORED)
				cg->dir_wd = -1; /* somebody removed it */
			if (!e->len || !is_harmless(e->name))
				touch(cg);
			return;
		}
	}
}

static void on_inotify(struct ev_loop *ev, struct ev_io *w, int revents)
{
	char buf[4096] __attribute__((aligned(8)));
	ssize_t n = read(cgroups.inotify, buf, sizeof(buf));
	const struct inotify_event *e;

	(void)ev, (void)w, (void)revents;
	for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof(*e) + e->len)) {
		e = (const struct inotify_event *)(const void *)(buf + at);
		on_event(e);
	}
}

/* What could not be removed, or not be watched. */
static void on_retry(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)revents;
	ev_timer_stop(ev, w);
	for (unsigned i = 0; i < cgroups.cap; i++) {
		struct cgroup *cg = cgroups.at[i];

		if (cg && cg->state != SPARE && cg->empty_wd < 0)
			check_empty(cg);
		cg = cgroups.at[i];
		if (cg && cg->state != SPARE && cg->watched && cg->empty_wd < 0)
			ev_timer_again(ev, w);
	}
}

/* From now on a change of its cgroup.events leads to check_empty. */
static void watch_empty(struct cgroup *cg)
{
	cg->watched = true;
	cg->empty_wd = watch(cg, "cgroup.events", IN_MODIFY);
	if (cg->empty_wd < 0)
		ev_timer_again(loop_ev(), &cgroups.retry);
}

/* For owners */

struct cgroup *cgroup_new(const struct cgroup_limits *limits, const struct cgroup_ops *ops,
	void *owner, struct failure *f)
{
	bool limited = limits->memory || limits->pids || limits->cpu_ms_per_s;
	struct cgroup *cg = NULL;
	int err = 0;

	f->err = 0;
	if (cgroup_limits_check(&cgroups.base, limits, f) || cgroups.base.dir < 0)
		return NULL;
	if (!limited)
		cg = take_spare();
	if (!cg)
		cg = make(&err);
	if (!cg && limited)
		failure_set(f, err, "cgroup", NULL, "cannot make a cgroup in %.100s: %s",
			cgroups.base.path,
			err == ERR_LIMIT ? "there are as many as the agent can have"
					 : strerror(-err));
	else if (!cg)
		log_limited(LOG_WARN, "cgroup", "cannot make one path=%s err=%s", cgroups.base.path,
			err_name(err));
	if (!cg)
		return NULL;
	cg->state = HELD;
	cg->limited = limited;
	if (limited && cgroup_limits_set(cg->dir, limits, f)) {
		retire(cg);
		return NULL;
	}
	cg->ops = ops;
	cg->owner = owner;
	return cg;
}

void cgroup_release(struct cgroup *cg)
{
	bool populated;

	if (!cg)
		return;
	if (cgroups.base.dir < 0) { /* cgroup_stop has done the rest */
		free(cg);
		return;
	}
	populated = cgroup_populated(cg);
	check_oom(cg);
	turn_cancel(&cg->emptied);
	if (cg->noted)
		cgfs_unnote(cg->dir);
	cg->noted = false;
	cg->owner = NULL;
	cg->ops = NULL;
	cg->state = LEAVING;
	if (populated) {
		watch_empty(cg);
		check_empty(cg); /* it may have been too late to watch it */
		return;
	}
	cg->oom_before += cg->oom_told;
	cg->oom_told = 0;
	retire(cg);
}

int cgroup_fd(const struct cgroup *cg)
{
	return cg->dir;
}

bool cgroup_populated(const struct cgroup *cg)
{
	uint64_t populated;

	return cgfs_value(cg->empty, "populated", &populated) && populated;
}

void cgroup_note(struct cgroup *cg, const char *bytes, size_t len)
{
	int err = cgroups.base.notes ? cgfs_note(cg->dir, bytes, len) : -EPERM;

	cg->noted |= !err;
	if (err && cgroups.base.notes)
		log_limited(LOG_WARN, "cgroup", "cannot note a process path=%s/%u err=%s",
			cgroups.base.path, cg->number, err_name(err));
}

void cgroup_watch(struct cgroup *cg)
{
	if (cg->watched)
		return;
	cg->watched = true;
	if (cgroup_populated(cg)) {
		watch_empty(cg);
		if (cgroup_populated(cg))
			return;
		unwatch(&cg->empty_wd);
	}
	turn_request(&cg->emptied);
}

uint64_t cgroup_oom_kills(struct cgroup *cg)
{
	check_oom(cg);
	return cg->oom_told;
}

/*
 * PID was just read from CG.  The descriptor was opened before we look where PID is: if that is
 * still in CG, and the signal finds it alive, it is the same process all along.
 */
static bool kill_one(pid_t pid, void *ctx)
{
	cleanup_fd int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0 && errno == ENOSYS) /* Linux before 5.3 */
		kill(pid, SIGKILL);
	else if (fd >= 0 && cgroup_owner_of(pid) == ctx)
		syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
	return true;
}

void cgroup_kill(struct cgroup *cg)
{
	/*
	 * Never used again: since Linux 6.12 a child that begins its life in a cgroup that was
	 * ever killed is killed too (cgroup_css_set_fork reads kill_seq of the wrong one).
	 */
	cg->touched = true;
	if (cgfs_write(cg->dir, "cgroup.kill", "1"))
		cgfs_each_pid(cg->dir, true, kill_one, cg->owner);
}

void cgroup_each_pid(const struct cgroup *cg, bool (*fn)(pid_t pid, void *ctx), void *ctx)
{
	cgfs_each_pid(cg->dir, true, fn, ctx);
}

/* In a /proc/PID/cgroup: `0::SEEN NUMBER`, and then its end, or what is below. */
static struct cgroup *find(const char *text)
{
	size_t len = strlen(cgroups.base.seen);
	char *end;
	unsigned long n;

	if (strncmp(text, cgroups.base.seen, len) != 0)
		return NULL;
	n = strtoul(text + len, &end, 10);
	if (end == text + len || (*end != '/' && *end != '\n') || n >= cgroups.cap)
		return NULL;
	return cgroups.at[n];
}

void *cgroup_owner_of(pid_t pid)
{
	char path[32], text[8192];
	const char *line;
	const struct cgroup *cg;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (cgroups.base.dir < 0 || fd_read_file(path, text, sizeof(text)) < 0)
		return NULL;
	line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	cg = line ? find(strchr(line, '/')) : NULL;
	return cg ? cg->owner : NULL;
}

/* What a predecessor left */

struct cgroup *cgroup_reopen(unsigned number)
{
	struct cgroup *cg;

	while (number >= cgroups.cap)
		free_number(cgroups.cap); /* grows the table */
	cg = cgroup_of(number);
	cg->state = LEAVING;
	cg->noted = cg->touched = true; /* it may be limited, or changed: never used again */
	if (open_files(cg) == 0) {
		cg->oom_before = read_oom(cg); /* those were for the predecessor to tell */
		return cg;
	}
	log_warn("cgroup", "cannot open path=%s/%u", cgroups.base.path, number);
	forget(cg);
	free(cg);
	return NULL;
}

void cgroup_hold(struct cgroup *cg, const struct cgroup_ops *ops, void *owner)
{
	cg->state = HELD;
	cg->ops = ops;
	cg->owner = owner;
	if (cg->oom >= 0)
		cg->oom_wd = watch(cg, "memory.events", IN_MODIFY);
}

/* Start and end */

const char *cgroup_dir(void)
{
	return cgroups.base.dir >= 0 ? cgroups.base.path : NULL;
}

int cgroup_all(void)
{
	return cgroups.base.dir;
}

void cgroup_start(void)
{
	struct cgroup_base *b = &cgroups.base;
	const struct cgroup_terms terms = {
		config()->cgroup, config()->run_dir, config()->leftovers == LEFTOVERS_KILL};

	if (cgroup_base_open(b, &terms)) {
		log_info("cgroup", "none: %s", b->lacks[0]);
		return;
	}
	cgroups.inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (cgroups.inotify < 0) {
		log_warn("cgroup", "none: inotify: %s", strerror(errno));
		cgroup_base_close(b);
		for (int i = 0; i < N_CONTROLLERS; i++)
			snprintf(b->lacks[i], sizeof(b->lacks[i]),
				"there is no inotify instance left: raise "
				"fs.inotify.max_user_instances");
		return;
	}
	ev_io_init(&cgroups.events, on_inotify, cgroups.inotify, EV_READ);
	ev_io_start(loop_ev(), &cgroups.events);
	ev_init(&cgroups.retry, on_retry);
	cgroups.retry.repeat = RETRY_S;
	ev_init(&cgroups.trim, on_trim);
	cgroups.trim.repeat = TRIM_S;
	cgroup_base_log(b);
}

void cgroup_stop(void)
{
	if (cgroups.base.dir < 0)
		return;
	ev_io_stop(loop_ev(), &cgroups.events);
	ev_timer_stop(loop_ev(), &cgroups.retry);
	ev_timer_stop(loop_ev(), &cgroups.trim);
	fd_close(&cgroups.inotify); /* and all watches with it */
	for (unsigned i = 0; i < cgroups.cap; i++) {
		struct cgroup *cg = cgroups.at[i];
		char name[16];

		if (!cg)
			continue;
		name_of(cg, name);
		if (cgfs_remove(cgroups.base.dir, name))
			log_debug("cgroup", "in use path=%s/%s", cgroups.base.path, name);
		forget(cg);
		if (cg->state != HELD)
			free(cg);
	}
	free(cgroups.at);
	cgroups.at = NULL;
	cgroups.cap = 0;
	list_init(&cgroups.spare);
	cgroups.n_spare = 0;
	cgroup_base_close(&cgroups.base);
}
