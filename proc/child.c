/* proc/child.c - the one reaper */
#include "proc/child.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "guestd/loop.h"

#define BUCKETS 256

static struct {
	struct child *bucket[BUCKETS];
	int signal_fd;
	struct ev_io io;
	unsigned long orphans;
	unsigned n_watched; /* children with exiting() set */
} reaper;

static struct child **find(pid_t pid)
{
	struct child **at = &reaper.bucket[(unsigned)pid % BUCKETS];

	while (*at && (*at)->pid != pid)
		at = &(*at)->next;
	return at;
}

void child_register(struct child *child, pid_t pid)
{
	struct child **at = &reaper.bucket[(unsigned)pid % BUCKETS];

	ASSERT(child->pid == 0 && pid > 0);
	child->pid = pid;
	child->next = *at;
	*at = child;
}

void child_forget(struct child *child)
{
	struct child **at = child->pid ? find(child->pid) : NULL;

	if (at && *at == child)
		*at = child->next;
	child->pid = 0;
	child_watch_exit(child, NULL);
}

void child_watch_exit(struct child *child, void (*exiting)(struct child *child))
{
	reaper.n_watched += (exiting != NULL) - (child->exiting != NULL);
	child->exiting = exiting;
}

static void reaped(pid_t pid, int status, const struct rusage *usage)
{
	struct child *child = *find(pid);

	if (!child) {
		reaper.orphans++;
		log_debug("child", "reaped orphan pid=%d total=%lu", (int)pid, reaper.orphans);
		return;
	}
	child_forget(child);
	child->exited(child, status, usage);
}

/* Tells those who asked for it before the next zombie lets go of its pid. */
static void announce(void)
{
	siginfo_t zombie = {0};
	struct child *child;

	if (waitid(P_ALL, 0, &zombie, WEXITED | WNOHANG | WNOWAIT) < 0 || !zombie.si_pid)
		return;
	child = *find(zombie.si_pid);
	if (child && child->exiting)
		child->exiting(child);
}

/* SIGCHLD coalesces: one says that there is at least one child to reap. */
static void on_sigchld(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct signalfd_siginfo info;
	struct rusage usage;
	int status;
	pid_t pid;

	(void)ev, (void)w, (void)revents;
	if (read(reaper.signal_fd, &info, sizeof(info)) < 0 && errno != EAGAIN)
		log_limited(LOG_ERROR, "child", "cannot read the signal descriptor");
	do {
		if (reaper.n_watched)
			announce();
		pid = wait4(-1, &status, WNOHANG, &usage);
		if (pid > 0)
			reaped(pid, status, &usage);
	} while (pid > 0);
}

int child_start(void)
{
	sigset_t set;

	/* A daemon of a process of ours, double-forked, comes back to us and not to PID 1. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	reaper.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (reaper.signal_fd < 0)
		return -errno;
	ev_io_init(&reaper.io, on_sigchld, reaper.signal_fd, EV_READ);
	ev_io_start(loop_ev(), &reaper.io);
	return 0;
}
