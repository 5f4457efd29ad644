/*
 * init/console.c - a shell on a tty, for when nothing else works
 *
 * All that may block or fail with a tty, its open, its output, its close, happens in a child.
 * Until somebody presses Enter that has no controlling tty: others may write to the line, and
 * nothing sends it signals.
 */
#include "init/console.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/log.h"
#include "init/control.h"
#include "init/early.h"
#include "init/oom.h"
#include "init/place.h"
#include "init/respawn.h"

#define CGROUP "guestd.console"

/* Accounts of a small image; root is the first. */
#define PASSWD_MAX 65536

/* A tty that does not work may do so later (a driver that is loaded), but not soon. */
#define CALM_US         10000000
#define LONGEST_WAIT_US 60000000

/* What the child says before it ends; it says nothing where there was a shell. */
struct report {
	int err;       /* -errno of the tty */
	bool no_shell; /* there is none in the image */
};

static struct {
	const char *tty;
	struct respawn child;
	int report_fd; /* -1 while no child runs */
	int last_err;  /* is not told again */
} console = {
	.child = {.calm_us = CALM_US, .longest_us = LONGEST_WAIT_US, .due_us = UINT64_MAX},
	.report_fd = -1,
};

/* The child */

NORETURN static void give_up(int report, struct report what)
{
	if (write(report, &what, sizeof(what)) < 0)
		_exit(2);
	_exit(1);
}

/* Whatever the one before has left: the speed alone stays. */
static int make_sane(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t) < 0)
		return -errno;
	t.c_iflag = ICRNL | IXON;
	t.c_oflag = OPOST | ONLCR;
	t.c_cflag &= ~(tcflag_t)(CSIZE | PARENB | CSTOPB | HUPCL);
	t.c_cflag |= CS8 | CREAD | CLOCAL;
	t.c_lflag = ISIG | ICANON | IEXTEN | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE;
	memset(t.c_cc, _POSIX_VDISABLE, sizeof(t.c_cc));
	t.c_cc[VINTR] = 003;
	t.c_cc[VQUIT] = 034;
	t.c_cc[VERASE] = 0177;
	t.c_cc[VKILL] = 025;
	t.c_cc[VEOF] = 004;
	t.c_cc[VSTART] = 021;
	t.c_cc[VSTOP] = 023;
	t.c_cc[VSUSP] = 032;
	t.c_cc[VWERASE] = 027;
	t.c_cc[VLNEXT] = 026;
	t.c_cc[VREPRINT] = 022;
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	return tcsetattr(fd, TCSANOW, &t) < 0 ? -errno : 0;
}

static int open_tty(const char *name)
{
	char path[80];
	int fd, err;

	snprintf(path, sizeof(path), "%s%s", *name == '/' ? "" : "/dev/", name);
	/* Non-blocking, or the open waits for a modem to answer. */
	fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = make_sane(fd);
	if (!err && fcntl(fd, F_SETFL, O_RDWR) < 0)
		err = -errno;
	if (err) {
		fd_close(&fd);
		return err;
	}
	return fd;
}

/* The last field of root's line, or NULL. */
static const char *roots_shell(char *passwd, size_t len)
{
	char *line = passwd, *end, *shell;

	if (fd_read_file("/etc/passwd", passwd, len) < 0)
		return NULL;
	while (strncmp(line, "root:", 5) != 0) {
		line = strchr(line, '\n');
		if (!line++)
			return NULL;
	}
	end = line + strcspn(line, "\n");
	*end = '\0';
	shell = strrchr(line, ':') + 1;
	end = strrchr(shell, '/');
	/* Of an account that nobody is to log in to. */
	if (!end || strcmp(end, "/nologin") == 0 || strcmp(end, "/false") == 0)
		return NULL;
	return shell;
}

static const char *find_shell(char *passwd, size_t len)
{
	const char *const shells[] = {
		roots_shell(passwd, len), "/bin/bash", "/bin/sh", "/bin/busybox"};

	for (size_t i = 0; i < ARRAY_LEN(shells); i++) {
		if (shells[i] && access(shells[i], X_OK) == 0)
			return shells[i];
	}
	return NULL;
}

/* 0 once there was an Enter, or -errno. */
static int wait_for_enter(int fd)
{
	static const char prompt[] = "guestd: press Enter for a shell\n";
	char line[256];
	ssize_t n;
	int err = fd_write_all(fd, prompt, sizeof(prompt) - 1);

	if (err)
		return err;
	n = read(fd, line, sizeof(line));
	return n < 0 ? -errno : n == 0 ? -EIO : 0;
}

static bool is_serial(const char *tty)
{
	const char *name = strrchr(tty, '/') ? strrchr(tty, '/') + 1 : tty;

	/* Virtual terminals are tty and a number. */
	return strncmp(name, "tty", 3) != 0 || name[3] < '0' || name[3] > '9';
}

static void set_environment(const char *shell)
{
	const char *home = access("/root", X_OK) == 0 ? "/root" : "/";

	if (clearenv() || setenv("PATH", INIT_PATH, 1) || setenv("HOME", home, 1) ||
		setenv("TERM", is_serial(console.tty) ? "vt220" : "linux", 1) ||
		setenv("SHELL", shell, 1) || setenv("USER", "root", 1) ||
		setenv("LOGNAME", "root", 1) || chdir(home) < 0)
		log_warn("init", "the environment of the shell is not complete");
}

/* Everything of the agent's that an exec keeps: mask, and the one signal that is ignored. */
static void reset_signals(void)
{
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Descriptors 0 to 2 and the session are FD's. */
static int take_tty(int fd)
{
	/* 1: also from a session that has not let go of it. */
	if (ioctl(fd, TIOCSCTTY, 1) < 0 || tcsetpgrp(fd, getpid()) < 0)
		return -errno;
	for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++) {
		if (dup2(fd, i) < 0)
			return -errno;
	}
	return 0;
}

NORETURN static void be_console(int report)
{
	static const char none[] = "guestd: there is no shell in this image\n";
	static char passwd[PASSWD_MAX];
	const char *shell;
	int fd, err;

	control_leave();
	prctl(PR_SET_NAME, "guestd-console");
	setsid();
	oom_set(OOM_DEFAULT);
	place_self(CGROUP);
	reset_signals();
	fd = open_tty(console.tty);
	if (fd < 0)
		give_up(report, (struct report){.err = fd});
	shell = find_shell(passwd, sizeof(passwd));
	if (!shell) {
		err = fd_write_all(fd, none, sizeof(none) - 1);
		give_up(report, (struct report){.err = err, .no_shell = true});
	}
	err = wait_for_enter(fd);
	if (!err)
		err = take_tty(fd);
	if (!err) {
		const char *name = strrchr(shell, '/') + 1;

		set_environment(shell);
		execl(shell, strcmp(name, "busybox") == 0 ? "sh" : name, (char *)NULL);
		err = -errno;
	}
	give_up(report, (struct report){.err = err});
}

/* Process 1 */

void console_init(const char *tty)
{
	console.tty = tty;
	console.child.due_us = tty ? 0 : UINT64_MAX;
}

uint64_t console_due_us(void)
{
	return console.child.pid ? UINT64_MAX : console.child.due_us;
}

void console_start(uint64_t now_us)
{
	int report[2];
	pid_t pid = -1;

	if (pipe2(report, O_CLOEXEC | O_NONBLOCK) == 0) {
		pid = fork();
		if (pid == 0)
			be_console(report[1]);
		fd_close(&report[1]);
		if (pid > 0)
			console.report_fd = report[0];
		else
			fd_close(&report[0]);
	}
	if (pid > 0) {
		respawn_started(&console.child, pid, now_us);
	} else {
		log_error("init", "cannot fork for the console");
		(void)respawn_ended(&console.child, now_us);
	}
}

bool console_ended(pid_t pid, uint64_t now_us)
{
	struct report report;
	bool reported;

	if (pid != console.child.pid)
		return false;
	reported = read(console.report_fd, &report, sizeof(report)) == (ssize_t)sizeof(report);
	fd_close(&console.report_fd);
	if (!reported) /* a shell that has ended: it took somebody to press Enter */
		console.child.wait_us = 0;
	(void)respawn_ended(&console.child, now_us);
	if (reported && report.no_shell) {
		log_warn("init", "no shell for the console tty=%s", console.tty);
		console.child.due_us = UINT64_MAX;
	} else if (reported && report.err != console.last_err) {
		console.last_err = report.err;
		log_warn("init", "the console cannot be used tty=%s err=%s", console.tty,
			strerror(-report.err));
	}
	return true;
}

void console_hang_up(void)
{
	if (!console.child.pid)
		return;
	kill(-console.child.pid, SIGHUP);
	kill(-console.child.pid, SIGCONT);
}
