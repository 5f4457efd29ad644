/*
 * init/tune.c - sysctls, the host's name, and the loopback interface
 */
#include "init/tune.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/log.h"

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

static int write_file(const char *path, const char *text)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

static void name_host(void)
{
	char name[65]; /* __NEW_UTS_LEN and the end */
	ssize_t len = fd_read_file("/etc/hostname", name, sizeof(name));

	if (len <= 0)
		return;
	name[strcspn(name, " \t\r\n")] = '\0';
	if (*name && sethostname(name, strlen(name)) < 0)
		log_warn("init", "sethostname err=%s", strerror(errno));
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
	name_host();
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
