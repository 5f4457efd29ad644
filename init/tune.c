/*
 * init/tune.c - sysctls, the host's name, and the loopback interface
 */
#include "init/tune.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "guestd/config.h"
#include "guestd/words.h"

/*
 * Watching directories is a method of the agent, beside what build tools and editors in the guest
 * watch themselves.  The kernel's own limits (8192 watches in a small guest, 128 instances) are
 * made for many users of one machine; a watch costs memory, about 1 KiB, only when it is used.
 */
static const struct sysctl {
	const char *path, *value;
} sysctls[] = {
	{"/proc/sys/fs/inotify/max_user_watches", "1048576"},
	{"/proc/sys/fs/inotify/max_user_instances", "8192"},
	{"/proc/sys/fs/inotify/max_queued_events", "65536"},
};

/* The kernel takes ten lines in five seconds from whom writes to /dev/kmsg; a boot may have more. */
#define LOG_LIMIT "/proc/sys/kernel/printk_devkmsg"

static int write_file(const char *path, const char *text)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

void tune_hostname(void)
{
	char name[65] = ""; /* __NEW_UTS_LEN and the end */
	const char *wanted = config()->hostname;
	struct stat st;

	/* A pipe of that name would have us wait for its other end. */
	if (!wanted && stat("/etc/hostname", &st) == 0 && S_ISREG(st.st_mode)) {
		if (fd_read_file("/etc/hostname", name, sizeof(name)) < 0)
			return;
		name[strcspn(name, " \t\r\n")] = '\0';
		wanted = name;
	}
	if (wanted && *wanted && sethostname(wanted, strlen(wanted)) < 0)
		log_warn("init", "sethostname err=%s", strerror(errno));
}

static void set_one(char *text)
{
	const char *key, *value, *why;
	char path[300];
	int err;

	if (words_sysctl(text, &key, &value, &why)) /* the configuration has looked at it */
		return;
	if (snprintf(path, sizeof(path), "/proc/sys/%s", key) >= (int)sizeof(path))
		err = -ENAMETOOLONG;
	else
		err = write_file(path, value);
	if (err)
		log_error("init", "cannot set the sysctl %s to %s: %s", key, value, strerror(-err));
}

void tune_kernel(void)
{
	for (size_t i = 0; i < ARRAY_LEN(sysctls); i++) {
		int err = write_file(sysctls[i].path, sysctls[i].value);

		if (err == -ENOENT)
			log_info("init", "no such sysctl path=%s", sysctls[i].path);
		else if (err)
			log_warn("init", "sysctl path=%s err=%s", sysctls[i].path, strerror(-err));
	}
	for (const char **s = config()->sysctls; s && *s; s++) {
		char *copy = xstrdup(*s);

		set_one(copy);
		free(copy);
	}
}

void tune_log(bool all)
{
	static char before[32];
	int err;

	if (all && fd_read_file(LOG_LIMIT, before, sizeof(before)) < 0)
		return;
	/* EPERM: the kernel command line has said it, for ever (printk.devkmsg). */
	err = write_file(LOG_LIMIT, all ? "on\n" : before);
	if (err && err != -EPERM && err != -ENOENT)
		log_warn("init", "sysctl path=%s err=%s", LOG_LIMIT, strerror(-err));
}

void tune_loopback(void)
{
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq req = {.ifr_name = "lo"};

	/* A kernel without IPv4 has no loopback to bring up this way, nor anyone to use it. */
	if (fd < 0)
		return;
	if (ioctl(fd, SIOCGIFFLAGS, &req) == 0) {
		req.ifr_flags = (short)(req.ifr_flags | IFF_UP);
		if (ioctl(fd, SIOCSIFFLAGS, &req) == 0)
			return;
	}
	log_warn("init", "interface name=lo err=%s", strerror(errno));
}
