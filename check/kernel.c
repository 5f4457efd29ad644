/* check/kernel.c - what the kernel has, and how much of it */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mounts.h"
#include "base/sys.h"
#include "base/word.h"
#include "check/checks.h"
#include "check/look.h"
#include "check/report.h"

/* System calls */

/*
 * Harmless each: none with these arguments does anything.  Older kernels know them not (ENOSYS), and
 * filters of container runtimes say the same, or EPERM.
 */
static const struct call {
	const char *name, *without;
	long nr, a, b, c, d, e;
} calls[] = {
	{"clone3", "processes get no cgroup of their own, hence no limits (Linux 5.7)", SYS_clone3,
		0, 0, 0, 0, 0},
	{"close_range", "who hangs before its exec holds the pipes of others open (Linux 5.9)",
		SYS_close_range, -1, -1, 0, 0, 0},
	{"pidfd_open", "a signal may reach a process that took over a pid (Linux 5.3)",
		SYS_pidfd_open, -1, 0, 0, 0, 0},
	{"statx", "users are looked up anew at each spawn (Linux 4.11)", SYS_statx, AT_FDCWD, 0, 0,
		0, 0},
};

void check_kernel(void)
{
	struct utsname name;
	size_t lacks = 0;

	uname(&name);
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		const struct call *c = &calls[i];
		long err = sys_raw(c->nr, c->a, c->b, c->c, c->d, c->e, 0);

		if (err != -ENOSYS && err != -EPERM)
			continue;
		lacks++;
		say_warn("a newer kernel, or a seccomp filter that lets it through",
			"Linux %s without %s: %s", name.release, c->name, c->without);
	}
	if (!lacks)
		say_ok("Linux %s", name.release);
}

/* Cgroups */

/* Every cgroup but the root has cgroup.kill, or none: the first one below POINT tells. */
static bool lacks_kill(const char *point)
{
	char path[PATH_MAX];
	DIR *state = NULL;
	bool known = false, there = false;

	for (const char *name; (name = look_next(&state, point, "*"));) {
		if (known || snprintf(path, sizeof(path), "%s/%s/cgroup.events", point, name) < 0 ||
			access(path, F_OK) < 0)
			continue;
		known = true;
		if (snprintf(path, sizeof(path), "%s/%s/cgroup.kill", point, name) > 0)
			there = access(path, F_OK) == 0;
	}
	return known && !there;
}

static void check_controllers(const char *point, bool v1)
{
	static const char *const wanted[] = {"memory", "pids", "cpu"};
	char path[PATH_MAX + sizeof("/cgroup.controllers")], have[512], lacks[64] = "";

	snprintf(path, sizeof(path), "%s/cgroup.controllers", point);
	if (fd_read_file(path, have, sizeof(have)) < 0)
		*have = '\0';
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		size_t used = strlen(lacks);

		if (!has_word(have, wanted[i]))
			snprintf(lacks + used, sizeof(lacks) - used, "%s%s", used ? ", " : "",
				wanted[i]);
	}
	if (*lacks)
		say_warn(
			v1 ? "take them from cgroup v1: cgroup_no_v1=all on the kernel command line"
			   : "enable them in the cgroups above, or in the kernel (CONFIG_MEMCG, "
			     "CONFIG_CGROUP_PIDS, CONFIG_CFS_BANDWIDTH)",
			"%s does not offer %s: such limits are refused", point, lacks);
	else if (lacks_kill(point))
		say_warn("Linux 5.14",
			"%s has no cgroup.kill: a tree that forks fast is killed one by one",
			point);
	else
		say_ok("%s has memory, pids, cpu", point);
}

void check_cgroup(void)
{
	char point[PATH_MAX] = "";
	struct mounts mounts;
	bool v1 = false;

	if (mounts_read(&mounts))
		return say_warn("mount /proc", "nobody can tell");
	for (size_t i = 0; i < mounts.n; i++) {
		if (strcmp(mounts.at[i].type, "cgroup2") == 0 && !*point)
			snprintf(point, sizeof(point), "%s", mounts.at[i].point);
		v1 = v1 || strcmp(mounts.at[i].type, "cgroup") == 0;
	}
	mounts_free(&mounts);
	if (!*point)
		say_warn("mount -t cgroup2 cgroup2 /sys/fs/cgroup",
			"no cgroup2 is mounted: limits are refused, and what leaves session and parents is "
			"not found");
	else if (access(point, W_OK) < 0)
		say_warn("mount it writable, in a container with a cgroup namespace",
			"%s cannot be written to: limits are refused", point);
	else
		check_controllers(point, v1);
}

/* Limits */

static void check_sysctl(const char *name, unsigned long wanted)
{
	char path[128], text[32], mend[160];
	unsigned long value;

	snprintf(path, sizeof(path), "/proc/sys/fs/inotify/%s", name);
	if (fd_read_file(path, text, sizeof(text)) < 0)
		return say_fail(
			"CONFIG_INOTIFY_USER in the kernel", "no %s: fs.watch does not work", path);
	value = strtoul(text, NULL, 10);
	snprintf(mend, sizeof(mend), "sysctl.d: fs.inotify.%s = %lu", name, wanted);
	if (value < wanted)
		say_warn(mend, "%s is %lu: large trees cannot be watched by all", name, value);
	else
		say_ok("%s is %lu", name, value);
}

void check_inotify(void)
{
	check_sysctl("max_user_watches", 65536);
	check_sysctl("max_user_instances", 1024);
}

/* What the agent raises its own limit to, where it may: so this process tries it. */
#define WANTED_FILES 65536

void check_files(void)
{
	struct rlimit wanted = {WANTED_FILES, WANTED_FILES}, files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0)
		return say_warn("see getrlimit(2)", "%s", strerror(errno));
	if (files.rlim_max < WANTED_FILES && setrlimit(RLIMIT_NOFILE, &wanted) < 0)
		say_warn("systemd: LimitNOFILE=1024:524288",
			"at most %llu descriptors, also for the agent: a process takes three or more",
			(unsigned long long)files.rlim_max);
	else
		say_ok("%llu descriptors can be had",
			(unsigned long long)MAX(files.rlim_max, WANTED_FILES));
}
