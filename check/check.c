/* check/check.c - `guestd --check`: what of the agent will not work in this guest, and how to mend it */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/check.h"
#include "check/checks.h"
#include "check/report.h"
#include "guestd/area.h"

static const struct check {
	const char *name;
	void (*look)(void);
} checks[] = {
	{"config", check_config},
	{"token", check_token},
	{"run-dir", check_run_dir},
	{"user", check_user},
	{"shell", check_shell},
	{"vsock", check_vsock},
	{"serial", check_serial},
	{"modules", check_modules},
	{"kernel", check_kernel},
	{"cgroup", check_cgroup},
	{"proc", check_proc},
	{"sys", check_sys},
	{"run", check_run},
	{"pty", check_pty},
	{"shm", check_shm},
	{"inotify", check_inotify},
	{"files", check_files},
	{"random", check_random},
	{"trust", check_trust},
	{"console", check_console},
	{"image", check_image},
};

static struct {
	const struct check *now;
	bool failed;
} report;

static void say(const char *verdict, const char *mend, const char *fmt, va_list ap)
{
	printf("%s %s: ", verdict, report.now->name);
	vprintf(fmt, ap);
	printf("%s%s\n", mend ? " — " : "", mend ? mend : "");
}

void say_ok(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("ok", NULL, fmt, ap);
	va_end(ap);
}

void say_warn(const char *mend, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("warn", mend, fmt, ap);
	va_end(ap);
}

void say_fail(const char *mend, const char *fmt, ...)
{
	va_list ap;

	report.failed = true;
	va_start(ap, fmt);
	say("fail", mend, fmt, ap);
	va_end(ap);
}

/* 0: nothing fails, 1. */
static int check(void)
{
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		report.now = &checks[i];
		checks[i].look();
	}
	return fflush(stdout) != 0 || report.failed;
}

AREA(check) = {
	.name = "check",
	.check = check,
};
