/* check/settings.c - what the agent was told, and whether the guest has it */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "check/checks.h"
#include "check/report.h"
#include "guestd/config.h"
#include "guestd/method.h"
#include "guestd/users.h"

void check_config(void)
{
	char why[512];
	size_t n = 0;

	for (const char *const *p = config_problems(); *p; p++, n++)
		say_fail("the agent does not start with it", "%s", *p);
	if (method_init(config()->allow, config()->deny, why, sizeof(why))) {
		say_fail("guestd --methods lists them", "%s", why);
		n++;
	}
	if (!n)
		say_ok("%s", config()->file ? config()->file : "no file, defaults");
}

void check_token(void)
{
	const char *path = config()->token_file;
	struct stat st;

	if (!path)
		say_ok("none is wanted");
	else if (stat(path, &st) < 0)
		say_fail("make it, or leave token-file out", "%s: %s", path, strerror(errno));
	else if (st.st_mode & 077)
		say_warn("chmod 600 it", "%s can be read by others than its owner (mode %o)", path,
			(unsigned)st.st_mode & 07777);
	else
		say_ok("%s", path);
}

/* The directory that PATH is in; cuts PATH. */
static const char *parent(char *path)
{
	char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return "/";
	*slash = '\0';
	return path;
}

void check_run_dir(void)
{
	const char *dir = config()->run_dir;
	char copy[4096];
	struct stat st;

	if (stat(dir, &st) == 0 && !S_ISDIR(st.st_mode)) {
		say_fail("remove it, or set run-dir", "%s is no directory", dir);
		return;
	}
	snprintf(copy, sizeof(copy), "%s", dir);
	if (access(dir, F_OK) < 0) /* it is made at the start */
		dir = parent(copy);
	/* Not mode bits alone: EROFS, too. */
	if (access(dir, W_OK | X_OK) < 0)
		say_fail("events of processes need it: mount a tmpfs on /run, or set run-dir",
			"%s cannot be written to: %s", dir, strerror(errno));
	else
		say_ok("%s", config()->run_dir);
}

void check_user(void)
{
	static struct account account;
	static struct failure failure;
	const struct users *users = users_hold();
	const char *name = config()->default_user;

	if (users_resolve(users, name, &account, &failure))
		say_fail("add it to /etc/passwd, or set default-user", "%s", failure.message);
	else if (access("/etc/passwd", R_OK) < 0)
		say_warn("only numbers name users then", "/etc/passwd: %s", strerror(errno));
	else if (access(account.home, X_OK) < 0)
		say_warn("mkdir it, with the user as owner",
			"the home of %s, %s, is not there: its processes begin in /", account.name,
			account.home);
	else
		say_ok("processes run as %s", *account.name ? account.name : "the agent");
	users_release(users);
}

void check_shell(void)
{
	if (access("/bin/sh", X_OK) == 0)
		say_ok("/bin/sh");
	else
		say_warn("argv works without one", "no /bin/sh: %s, and calls with cmd fail",
			strerror(errno));
}

void check_console(void)
{
	if (config()->console)
		say_warn("leave the key out where that is not wanted",
			"console = %s: whoever reaches it is root", config()->console);
	else
		say_ok("no debug shell");
}
