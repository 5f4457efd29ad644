/*
 * init/supervise.c - process 1 once the guest is set up: it keeps an agent running
 *
 * Process 1 that crashes is a kernel panic, and an agent has enough code to crash.  So process 1
 * forks it, without an exec: the program, its configuration and what was logged so far are there
 * already, and a file system that was exchanged meanwhile cannot put another one in its place.
 */
#include "init/supervise.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "guestd/config.h"
#include "guestd/end.h"
#include "init/console.h"
#include "init/control.h"
#include "init/end.h"
#include "init/handoff.h"
#include "init/oom.h"
#include "init/place.h"
#include "init/respawn.h"

/* An agent that ran for so long did start. */
#define CALM_US 10000000

/* A host that polls for its agent should not give up. */
#define LONGEST_WAIT_US 5000000

/* The agent says goodbye to its clients for 2 s at most, and waits for its workers. */
#define END_MS 5000ull

/* Where there are no signals to wait for, we look. */
#define LOOK_MS 1000ull

static struct {
	int (*run)(void);
	struct respawn agent;
	int signal_fd;
	bool beside; /* process 1 is another one now: its end is not ours */
	bool ending;
	bool agent_done; /* it has no clients any more, and is in nobody's way */
	uint64_t end_us; /* when the agent has had its time to end */
} sup = {
	.agent = {.calm_us = CALM_US, .longest_us = LONGEST_WAIT_US},
	.signal_fd = -1,
};

/* Children */

NORETURN static void be_agent(void)
{
	fd_close(&sup.signal_fd);
	control_join();
	oom_set(OOM_DEFAULT);
	prctl(PR_SET_NAME, "guestd"); /* which the kernel names where it crashes */
	/* The kernel counts lines by descriptor: ours would be lost among the agent's. */
	log_to_kmsg();
	exit(sup.run());
}

static void start_agent(uint64_t now)
{
	pid_t pid;
	int err = control_fd() < 0 ? control_renew() : 0;

	if (err)
		log_error("init", "no way to talk with the agent err=%s", strerror(-err));
	pid = fork();
	if (pid == 0)
		be_agent();
	if (pid < 0) {
		log_error("init", "cannot fork the agent err=%s", strerror(errno));
		(void)respawn_ended(&sup.agent, now);
		return;
	}
	control_forked();
	respawn_started(&sup.agent, pid, now);
}

static void begin_end(const struct control_plan *plan)
{
	if (sup.ending)
		return;
	sup.ending = true;
	sup.end_us = clock_mono_us() + 1000 * END_MS;
	end_plan(plan->mode, plan->grace_ms);
}

static void tell_agent_to_end(void)
{
	if (!sup.agent.pid)
		return;
	if (sup.beside || control_tell_end())
		kill(sup.agent.pid, SIGTERM);
}

static void listen_to_agent(void)
{
	struct control_plan plan;
	enum control_said said;

	while ((said = control_hear(&plan)) != SAID_NOTHING) {
		if (said == SAID_END)
			begin_end(&plan);
		else
			sup.agent_done = true;
	}
}

static void agent_ended(int status)
{
	unsigned long long up_ms = (clock_mono_us() - sup.agent.since_us) / 1000;
	pid_t pid = sup.agent.pid;
	unsigned wait_ms;
	int err;

	listen_to_agent(); /* what it said last may still be on its way */
	wait_ms = (unsigned)(respawn_ended(&sup.agent, clock_mono_us()) / 1000);
	if (sup.ending)
		return;
	if (WIFSIGNALED(status))
		log_error("init",
			"the agent was killed signal=%d (%s)%s pid=%d up_ms=%llu again_ms=%u",
			WTERMSIG(status), strsignal(WTERMSIG(status)),
			WCOREDUMP(status) ? " core dumped" : "", (int)pid, up_ms, wait_ms);
	else
		log_error("init", "the agent has ended status=%d pid=%d up_ms=%llu again_ms=%u",
			WEXITSTATUS(status), (int)pid, up_ms, wait_ms);
	err = control_renew();
	if (err)
		log_error("init", "no way to talk with the agent err=%s", strerror(-err));
}

/* A stopped agent is one that nobody can tell to go on. */
static void stopped(pid_t pid)
{
	if (pid != sup.agent.pid)
		return;
	log_limited(LOG_WARN, "init", "the agent was stopped, and goes on pid=%d", (int)pid);
	kill(pid, SIGCONT);
}

static void reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
		if (WIFSTOPPED(status))
			stopped(pid);
		else if (pid == sup.agent.pid)
			agent_ended(status);
		else if (!console_ended(pid, clock_mono_us()))
			control_tell_ended(pid, status);
	}
}

/* Signals */

/* Ctrl-Alt-Del restarts a machine; the others are what halt(8) of busybox and sysvinit send. */
static bool plan_of(int number, struct control_plan *plan)
{
	static const struct {
		int number;
		enum end_mode mode;
	} means[] = {
		{SIGINT, END_REBOOT},
		{SIGTERM, END_POWEROFF},
		{SIGPWR, END_POWEROFF},
		{SIGUSR1, END_HALT},
		{SIGUSR2, END_POWEROFF},
	};

	for (size_t i = 0; i < ARRAY_LEN(means); i++) {
		if (means[i].number != number)
			continue;
		*plan = (struct control_plan){means[i].mode, END_GRACE_MS};
		return true;
	}
	return false;
}

static void read_signals(void)
{
	struct signalfd_siginfo info;

	while (read(sup.signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		struct control_plan plan;

		if (!plan_of((int)info.ssi_signo, &plan) ||
			(sup.beside && info.ssi_signo != SIGTERM))
			continue;
		log_info("init", "asked to end signal=%d from=%d", (int)info.ssi_signo,
			(int)info.ssi_pid);
		if (!sup.ending)
			tell_agent_to_end();
		begin_end(&plan);
	}
}

static void watch_signals(void)
{
	sigset_t all;

	sigfillset(&all);
	sup.signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (sup.signal_fd < 0)
		log_error("init", "no signals err=%s", strerror(errno));
}

/* The loop */

NORETURN static void finish(void)
{
	if (sup.agent.pid && !sup.agent_done) {
		log_error("init", "the agent does not end pid=%d", (int)sup.agent.pid);
		kill(sup.agent.pid, SIGKILL);
	}
	console_hang_up();
	if (sup.beside)
		exit(0);
	end_machine();
	for (;;)
		pause(); /* neither off nor restarted: nothing is left to do */
}

static int until_ms(uint64_t due, uint64_t now)
{
	return due <= now ? 0 : (int)MIN((due - now) / 1000 + 1, (uint64_t)3600000);
}

static void wait_for_something(uint64_t now)
{
	struct pollfd fds[] = {
		{.fd = sup.signal_fd, .events = POLLIN},
		{.fd = control_fd(), .events = POLLIN},
	};
	uint64_t due = sup.ending ? sup.end_us : UINT64_MAX;

	if (!sup.agent.pid && !sup.ending)
		due = MIN(due, sup.agent.due_us);
	if (!sup.ending)
		due = MIN(due, console_due_us());
	if (sup.signal_fd < 0)
		due = MIN(due, now + 1000 * LOOK_MS);
	(void)poll(fds, ARRAY_LEN(fds), due == UINT64_MAX ? -1 : until_ms(due, now));
}

NORETURN void supervise(int (*run)(void), char **argv)
{
	sup.run = run;
	if (config()->handoff && handoff(config()->handoff, argv)) {
		sup.beside = true;
		agent_hand_over();
	} else {
		const char *own = place_apart();

		if (own && run)
			config_set_cgroup(own);
	}
	console_init(config()->console);
	prctl(PR_SET_DUMPABLE, 0); /* what is secret of the configuration is here, too */
	oom_set(OOM_NEVER);
	watch_signals();
	control_make_room();
	for (;;) {
		uint64_t now = clock_mono_us();

		if (sup.ending && (!sup.agent.pid || sup.agent_done || now >= sup.end_us))
			finish();
		if (!sup.ending && !sup.agent.pid && now >= sup.agent.due_us)
			start_agent(now);
		if (!sup.ending && now >= console_due_us())
			console_start(now);
		wait_for_something(now);
		read_signals();
		listen_to_agent();
		reap();
	}
}
