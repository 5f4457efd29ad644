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
#include "guestd/keeper.h"
#include "guestd/listener.h"
#include "guestd/loop.h"
#include "guestd/method.h"
#include "guestd/notify.h"
#include "guestd/protect.h"
#include "guestd/store.h"
#include "proto/err.h"
#include "proto/version.h"

/* How long connections may take to hear the goodbye when the agent ends. */
#define END_GRACE 2.0
#define END_CHECK 0.02

/* Connections, pipes of processes, files: more than the usual soft limit of 1024. */
#define WANTED_FDS 65536

/* Process 1 is this program, or was when it started the agent. */
static struct {
	bool first, handed_over;
} origin;

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
	       "  --help                     print this\n\n"
	       "As PID 1, in the file and on the kernel command line as guestd.KEY=VALUE:\n");
	config_print_guest();
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
	struct rlimit files, more, core;

	/* A dump of ours would hold what clients sent.  The hard limit is for children. */
	if (getrlimit(RLIMIT_CORE, &core) == 0) {
		core.rlim_cur = 0;
		setrlimit(RLIMIT_CORE, &core);
	}
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

/* For those who watch the console: do not connect before "ready" (vhost-device-vsock can wedge). */
static void tell_console(const char *line)
{
	cleanup_fd int fd = open("/dev/console", O_WRONLY | O_CLOEXEC | O_NOCTTY);

	if (fd >= 0 && fd_write_all(fd, line, strlen(line)) < 0)
		log_debug("main", "the console takes no line");
}

static int start(char *why, size_t why_len)
{
	int err = loop_init();

	notify_init();
	store_init();
	if (!err)
		err = watch_signals();
	/* A mkdir waits where the file system is frozen, whether there is something to make or not. */
	if (access(config()->run_dir, F_OK) < 0 && mkdir(config()->run_dir, 0755) < 0)
		log_warn("main", "cannot make run-dir=%s err=%s", config()->run_dir,
			err_name(-errno));
	for (const struct area *const *a = __start_areas; !err && a < __stop_areas; a++)
		err = (*a)->start ? (*a)->start() : 0;
	if (err) {
		snprintf(why, why_len, "cannot start: %s", strerror(-err));
		return err;
	}
	set_up_limits(); /* after the areas: they note what children are to have */
	for (const struct area *const *a = __start_areas; a < __stop_areas; a++) {
		if ((*a)->ready)
			(*a)->ready();
	}
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
	keeper_stop();
	fd_close(&daemon_.signal_fd);
	loop_fini();
}

bool agent_is_init(void)
{
	return origin.first && !origin.handed_over;
}

void agent_hand_over(void)
{
	origin.handed_over = true;
}

/* 0, or the status to exit with, then WHY is the sentence. */
static int configure(int argc, char **argv, enum config_action *action, char *why, size_t why_len)
{
	int status = config_read(argc, argv, action, why, why_len);

	if (!status && *action != ACTION_CHECK &&
		method_init(config()->allow, config()->deny, why, why_len)) {
		status = config()->as_init ? 0 : 2; /* init has a guest to look after */
		if (!status)
			config_refuse(why);
	}
	if (status)
		log_error("main", "%s", why);
	return status;
}

/* The agent: until it is told to end. */
static int serve(void)
{
	char why[512];

	protect();
	identity_init();
	activity_init();
	if (start(why, sizeof(why))) {
		log_error("main", "%s", why);
		return 1;
	}
	if (config()->refused)
		log_error("main", "serves nobody: %s", config()->refused);
	else
		log_info("main", "ready version=%s pid=%d", GUESTD_VERSION, (int)getpid());
	listeners_describe(why, sizeof(why));
	notify_ready(why);
	if (origin.first)
		tell_console(config()->refused ? "guestd: serves nobody\n" : "guestd: ready\n");
	loop_run();
	stop();
	return 0;
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
	int status = configure(argc, argv, &action, why, sizeof(why));

	if (status)
		return status;
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
	case ACTION_CHECK:
		return check();
	case ACTION_RUN:
		break;
	}
	if (config()->seal)
		protect_seal(argv);
	return serve();
}

/* Returns where no area looks after process 1. */
static int run_as_init(char **argv)
{
	enum config_action action;
	char why[512];

	for (const struct area *const *a = __start_areas; a < __stop_areas; a++) {
		if ((*a)->pid1)
			(*a)->pid1();
	}
	log_to_kmsg();
	set_up_stdio();
	/* What the kernel does not know of its command line it hands to init: not ours. */
	if (configure(1, argv, &action, why, sizeof(why)))
		config_refuse(why);
	for (const struct area *const *a = __start_areas; a < __stop_areas; a++) {
		if ((*a)->pid1_run)
			(*a)->pid1_run(serve, argv);
	}
	return 1;
}

int main(int argc, char **argv)
{
	origin.first = getpid() == 1; /* its arguments are the kernel's */
	if (!origin.first && argc > 1 && strcmp(argv[1], "emit") == 0) {
		set_up_stdio();
		return emit(argc - 2, argv + 2);
	}
	set_up_signals();
	sys_malloc_setup();
	umask(022);
	if (origin.first)
		return run_as_init(argv);
	set_up_stdio();
	return run(argc, argv);
}
