/*
 * guestd/main.c - start, run, end in order
 *
 * Every signal that is not a fault of our own is blocked from the first line on: those that
 * matter are read from descriptors in the loop, in every thread the mask is the same, and a
 * child gets an empty one before its exec.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "guestd/activity.h"
#include "guestd/area.h"
#include "guestd/config.h"
#include "guestd/conn.h"
#include "guestd/emit.h"
#include "guestd/end.h"
#include "guestd/identity.h"
#include "guestd/job.h"
#include "guestd/listener.h"
#include "guestd/loop.h"
#include "guestd/method.h"
#include "guestd/notify.h"
#include "proto/err.h"
#include "proto/version.h"

/* How long connections may take to hear the goodbye when the agent ends. */
#define END_GRACE 2.0
#define END_CHECK 0.02

/* Connections, pipes of processes, files: more than the usual soft limit of 1024. */
#define WANTED_FDS 65536

static struct {
	int signal_fd;
	struct ev_io signal;
	struct ev_timer end;
	ev_tstamp ending_since;
} daemon_;

static void usage(void)
{
	printf("usage: guestd [OPTION]...\n"
	       "       guestd emit TYPE [DATA|-]\n"
	       "       guestd --check [OPTION]...\n"
	       "The agent of a virtual machine: serves its host over virtio-vsock.\n"
	       "emit, run by a process of the agent's, tells the host of an event.\n\n");
	config_print_options();
	printf("  --config FILE              key = value lines, keys named as the options above\n"
	       "                             (/etc/guestd.conf where it exists)\n"
	       "  --check                    look at this guest: what will not work, and how to mend it\n"
	       "  --methods                  list the methods with their parameters\n"
	       "  --version                  print the version\n"
	       "  --help                     print this\n");
}

/* With one of 0, 1, 2 closed, the next socket would take its place and be a child's stdin. */
static void set_up_stdio(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR); /* no CLOEXEC: these three are inherited */
	} while (fd >= 0 && fd <= STDERR_FILENO);
	fd_close(&fd);
}

/* Whatever our parent ignored or blocked, we start clean: children inherit what we leave. */
static void set_up_signals(void)
{
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
	sigset_t mask;

	for (int i = 1; i < NSIG; i++)
		sys_unignore(i);
	signal(SIGPIPE, SIG_IGN); /* a child that closed its stdin is an error of write(2) */
	sigfillset(&mask);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++)
		sigdelset(&mask, faults[i]);
	sigprocmask(SIG_SETMASK, &mask, NULL);
}

/* As PID 1 the kernel's own hard limit of 4096 is all there is: it takes a privilege to raise that. */
static void set_up_limits(void)
{
	struct rlimit files, more;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return;
	more.rlim_cur = MAX(files.rlim_cur, WANTED_FDS);
	more.rlim_max = MAX(files.rlim_max, WANTED_FDS);
	if (setrlimit(RLIMIT_NOFILE, &more) == 0)
		return;
	files.rlim_cur = MIN(files.rlim_max, more.rlim_cur);
	setrlimit(RLIMIT_NOFILE, &files);
}

static void on_end_timer(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	if (conn_count() == 0 || loop_now() - daemon_.ending_since > END_GRACE)
		loop_break();
}

void agent_end(const char *why)
{
	if (ev_is_active(&daemon_.end))
		return;
	log_info("main", "ending why=%s connections=%zu", why, conn_count());
	notify_stopping();
	listeners_stop();
	conn_goodbye_all(ERR_CANCELED, "the agent is ending");
	daemon_.ending_since = loop_now();
	ev_timer_init(&daemon_.end, on_end_timer, 0, END_CHECK);
	ev_timer_start(loop_ev(), &daemon_.end);
}

static void on_signal(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct signalfd_siginfo info;

	(void)ev, (void)w, (void)revents;
	if (read(daemon_.signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		agent_end(strsignal((int)info.ssi_signo));
}

static int watch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	daemon_.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (daemon_.signal_fd < 0)
		return -errno;
	ev_io_init(&daemon_.signal, on_signal, daemon_.signal_fd, EV_READ);
	ev_io_start(loop_ev(), &daemon_.signal);
	return 0;
}

/* For those who watch the console: do not connect before this line (vhost-device-vsock can wedge). */
static void tell_console(void)
{
	static const char marker[] = "guestd: ready\n";
	cleanup_fd int fd = open("/dev/console", O_WRONLY | O_CLOEXEC | O_NOCTTY);

	if (fd >= 0 && fd_write_all(fd, marker, sizeof(marker) - 1) < 0)
		log_debug("main", "the console takes no marker");
}

static int start(char *why, size_t why_len)
{
	int err = loop_init();

	notify_init();
	if (!err)
		err = watch_signals();
	if (mkdir(config()->run_dir, 0755) < 0 && errno != EEXIST)
		log_warn("main", "cannot make run-dir=%s err=%s", config()->run_dir,
			err_name(-errno));
	for (const struct area *const *a = __start_areas; !err && a < __stop_areas; a++)
		err = (*a)->start ? (*a)->start() : 0;
	if (err) {
		snprintf(why, why_len, "cannot start: %s", strerror(-err));
		return err;
	}
	set_up_limits(); /* after the areas: they note what children are to have */
	return listeners_start(why, why_len);
}

static void stop(void)
{
	job_shutdown();
	for (const struct area *const *a = __start_areas; a < __stop_areas; a++) {
		if ((*a)->stop)
			(*a)->stop();
	}
	listeners_fini();
	fd_close(&daemon_.signal_fd);
	loop_fini();
}

/* The exit status. */
static int check(void)
{
	int status = 0;

	for (const struct area *const *a = __start_areas; a < __stop_areas; a++)
		status |= (*a)->check ? (*a)->check() : 0;
	return status;
}

static int run(int argc, char **argv)
{
	enum config_action action;
	char why[512];
	int status = config_read(argc, argv, &action, why, sizeof(why));

	if (!status && action == ACTION_CHECK)
		return check();
	if (!status && method_init(config()->allow, config()->deny, why, sizeof(why)))
		status = 2;
	if (status) {
		log_error("main", "%s", why);
		return status;
	}
	switch (action) {
	case ACTION_HELP:
		usage();
		return 0;
	case ACTION_VERSION:
		printf("guestd %s\n", GUESTD_VERSION);
		return 0;
	case ACTION_METHODS:
		method_print();
		return 0;
	case ACTION_CHECK: /* done above */
	case ACTION_RUN:
		break;
	}
	/* Nobody in the guest reads our memory or descriptors through /proc. */
	prctl(PR_SET_DUMPABLE, 0);
	identity_init();
	activity_init();
	if (start(why, sizeof(why))) {
		log_error("main", "%s", why);
		return 1;
	}
	log_info("main", "ready version=%s pid=%d", GUESTD_VERSION, (int)getpid());
	listeners_describe(why, sizeof(why));
	notify_ready(why);
	if (getpid() == 1)
		tell_console();
	loop_run();
	stop();
	return 0;
}

static int run_as_init(char **argv)
{
	int status;

	for (const struct area *const *a = __start_areas; a < __stop_areas; a++) {
		if ((*a)->pid1)
			(*a)->pid1();
	}
	log_to_kmsg();
	set_up_stdio();
	/* What the kernel does not know of its command line it hands to init: not ours. */
	status = run(1, argv);
	for (const struct area *const *a = __start_areas; a < __stop_areas; a++) {
		if ((*a)->pid1_end)
			(*a)->pid1_end();
	}
	return status;
}

int main(int argc, char **argv)
{
	bool init = getpid() == 1; /* its arguments are the kernel's */

	if (!init && argc > 1 && strcmp(argv[1], "emit") == 0) {
		set_up_stdio();
		return emit(argc - 2, argv + 2);
	}
	set_up_signals();
	sys_malloc_setup();
	umask(022);
	if (init)
		return run_as_init(argv);
	set_up_stdio();
	return run(argc, argv);
}
