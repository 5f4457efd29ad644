/* proc/spawn.c - the one place that makes processes */
#include "proc/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "proc/spawner.h"

/* Seconds between two attempts to lower the peak. */
#define PEAK_INTERVAL 1.0

#define OOM_FILE "/proc/self/oom_score_adj"

/* Learned once: what a child must undo. */
static struct {
	bool root;
	bool oom_adjusted;
	struct rlimit files, core; /* before main.c changed them */
} self;

const char *spawn_stage_name(enum spawn_stage stage)
{
	static const char *const names[] = {
		[SPAWN_NONE] = "exec",
		[SPAWN_STALE] = "user",
		[SPAWN_USER] = "user",
		[SPAWN_PTY] = "pty",
		[SPAWN_CGROUP] = "cgroup",
		[SPAWN_RLIMIT] = "rlimit",
		[SPAWN_CHDIR] = "chdir",
		[SPAWN_EXEC] = "exec",
	};

	return names[stage];
}

/* The child: one straight line, raw calls only. */

#define CALL(nr, a, b, c, d) sys_raw((nr), (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

SYS_CHILD static void child_fail(struct spawn *s, enum spawn_stage stage, long err)
{
	s->stage = stage;
	s->err = (int)err;
	for (;;)
		CALL(SYS_exit_group, 127, 0, 0, 0);
}

SYS_CHILD static void child_descriptors(const struct spawn *s)
{
	/* dup3 clears CLOEXEC; every source lies above 2, so none is overwritten. */
	for (int i = 0; i < 3; i++)
		CALL(SYS_dup3, s->fds[i], i, 0, 0);
	/*
	 * Everything else now, not at exec: while this child hangs in a dead file system, others
	 * must see the end of the pipes that it has copies of.  Before Linux 5.9: at exec.
	 */
	CALL(SYS_close_range, 3, s->child_status_fd - 1, 0, 0);
	CALL(SYS_close_range, s->child_status_fd + 1, ~0U, 0, 0);
}

/* "0" into the file PATH below the directory DIR.  0 or -errno. */
SYS_CHILD static long child_write_zero(int dir, const char *path)
{
	static const char zero[] = "0";
	long fd = CALL(SYS_openat, dir, path, O_WRONLY | O_CLOEXEC, 0), n;

	if (fd < 0)
		return fd;
	n = CALL(SYS_write, fd, zero, 1, 0);
	CALL(SYS_close, fd, 0, 0, 0);
	return n < 0 ? n : 0;
}

/* What is to hold for all that it will ever start. */
SYS_CHILD static void child_place(struct spawn *s)
{
	long err = 0;

	/* Before the descriptors go; 0 is the writer itself. */
	if (s->join)
		err = child_write_zero(s->cgroup, "cgroup.procs");
	if (err)
		child_fail(s, SPAWN_CGROUP, err);
	if (self.oom_adjusted)
		child_write_zero(AT_FDCWD, OOM_FILE);
}

SYS_CHILD static void child_limits(struct spawn *s)
{
	long err = 0;

	CALL(SYS_prlimit64, 0, RLIMIT_NOFILE, &self.files, 0);
	CALL(SYS_prlimit64, 0, RLIMIT_CORE, &self.core, 0);
	for (size_t i = 0; i < s->n_rlimits && !err; i++)
		err = CALL(SYS_prlimit64, 0, s->rlimits[i].resource, &s->rlimits[i].limit, 0);
	if (!err && s->nice) {
		/* The raw call returns 20 - nice, so that it is never negative. */
		long now = 20 - CALL(SYS_getpriority, PRIO_PROCESS, 0, 0, 0);

		err = CALL(SYS_setpriority, PRIO_PROCESS, 0, now + s->nice, 0);
	}
	if (err)
		child_fail(s, SPAWN_RLIMIT, err);
}

SYS_CHILD static void child_identity(struct spawn *s)
{
	const struct account *a = &s->account;
	long err = 0;

	if (!users_unchanged(&s->stamps))
		child_fail(s, SPAWN_STALE, 0);
	/* Raw: libc's own would ask every thread of the agent to change its ids too. */
	if (self.root) {
		err = CALL(SYS_setgroups, a->n_groups, a->groups, 0, 0);
		if (!err)
			err = CALL(SYS_setresgid, a->gid, a->gid, a->gid, 0);
		if (!err)
			err = CALL(SYS_setresuid, a->uid, a->uid, a->uid, 0);
		/* Other ids make memory dumpable that we share (fs.suid_dumpable, proc(5)). */
		CALL(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0);
	} else if (a->uid != (uid_t)CALL(SYS_geteuid, 0, 0, 0, 0) ||
		   a->gid != (gid_t)CALL(SYS_getegid, 0, 0, 0, 0)) {
		err = -EPERM;
	}
	if (err)
		child_fail(s, SPAWN_USER, err);
	if (s->no_new_privs)
		CALL(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0);
}

SYS_CHILD static void child_exec(struct spawn *s)
{
	static const struct sys_sigaction dfl;
	static const unsigned long none;
	long err = -ENOENT, denied = 0;

	/* SIGPIPE is the one signal that the agent ignores; what is ignored survives an exec. */
	CALL(SYS_rt_sigaction, SIGPIPE, &dfl, NULL, sizeof(dfl.mask));
	CALL(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
	for (const char *const *path = s->candidates; *path; path++) {
		err = CALL(SYS_execve, *path, s->argv, s->envp, 0);
		if (err == -EACCES)
			denied = err;
		else if (err != -ENOENT && err != -ENOTDIR)
			break;
	}
	child_fail(s, SPAWN_EXEC, denied && (err == -ENOENT || err == -ENOTDIR) ? denied : err);
}

SYS_CHILD static void child_main(void *arg)
{
	struct spawn *s = arg;
	long err;

	CALL(SYS_setsid, 0, 0, 0, 0);
	child_place(s);
	child_descriptors(s);
	err = s->tty ? CALL(SYS_ioctl, 0, TIOCSCTTY, 0, 0) : 0;
	if (err)
		child_fail(s, SPAWN_PTY, err);
	child_limits(s);
	child_identity(s);
	err = CALL(SYS_chdir, s->cwd, 0, 0, 0);
	s->at_root = (err == -ENOENT || err == -ENOTDIR) && s->cwd_optional;
	if (s->at_root)
		err = CALL(SYS_chdir, "/", 0, 0, 0);
	if (err)
		child_fail(s, SPAWN_CHDIR, err);
	child_exec(s);
}

/* The parent */

static void finish(struct spawn *s)
{
	ev_io_stop(loop_ev(), &s->io);
	fd_close(&s->status_fd);
	s->done(s);
}

static void on_status(struct ev_loop *ev, struct ev_io *w, int revents)
{
	(void)ev, (void)revents;
	/* Nothing is ever written to the pipe: it only hangs up. */
	finish(CONTAINER_OF(w, struct spawn, io));
}

void spawn_reaped(struct spawn *s)
{
	if (s->status_fd >= 0)
		finish(s);
}

struct spawn *spawn_new(void)
{
	/* Populated: in a cgroup without memory a child could not even have a page of its stack. */
	void *s = mmap(NULL, sizeof(struct spawn), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return s == MAP_FAILED ? NULL : s;
}

void spawn_free(struct spawn *s)
{
	munmap(s, sizeof(*s));
}

void spawn_init(void)
{
	char text[16];

	getrlimit(RLIMIT_NOFILE, &self.files);
	getrlimit(RLIMIT_CORE, &self.core);
	self.root = geteuid() == 0;
	self.oom_adjusted =
		fd_read_file(OOM_FILE, text, sizeof(text)) > 0 && strtol(text, NULL, 10) != 0;
}

/*
 * A child starts with the peak of the memory that it shared with us (exec_mmap in fs/exec.c),
 * and its max_rss is never below that.  So we lower ours to what we use now: clear_refs in
 * proc(5).
 */
static void lower_peak(void)
{
	static ev_tstamp last;
	cleanup_fd int fd = -1;

	if (loop_now() - last < PEAK_INTERVAL)
		return;
	last = loop_now();
	fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, "5", 1) != 1)
		fd_close(&fd); /* an older kernel: the figure stays higher */
}

static pid_t clone_child(struct spawn *s, int cgroup)
{
	pid_t pid = spawner_clone(cgroup, s->stack, sizeof(s->stack), child_main, s);

	if (pid != -EAGAIN)
		return pid;
	/* Not CLONE_VM: see spawner.h. */
	return sys_clone(0, cgroup, NULL, s->stack, sizeof(s->stack), child_main, s);
}

pid_t spawn_start(struct spawn *s)
{
	int status[2];
	pid_t pid;

	lower_peak();
	if (pipe2(status, O_CLOEXEC) < 0)
		return -errno;
	s->err = 0;
	s->stage = SPAWN_NONE;
	s->status_fd = status[0];
	s->child_status_fd = status[1];
	s->join = false;
	pid = clone_child(s, s->cgroup);
	if (pid == -ENOSYS && s->cgroup >= 0) {
		s->join = true;
		pid = clone_child(s, -1);
	}
	fd_close(&status[1]);
	if (pid < 0) {
		fd_close(&s->status_fd);
		return pid;
	}
	ev_io_init(&s->io, on_status, s->status_fd, EV_READ | EV_WRITE); /* as in pump.c */
	ev_io_start(loop_ev(), &s->io);
	return pid;
}
