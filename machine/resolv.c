/* machine/resolv.c - the guest's name servers */
#include "machine/resolv.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"

#define BESIDE RESOLV_CONF ".guestd"

static int write_file(const char *path, int flags, const char *text, size_t len)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | flags, 0644);

	return fd < 0 ? -errno : fd_write_all(fd, text, len);
}

int resolv_write(const struct strs *servers)
{
	char text[RESOLV_MAX * (sizeof("nameserver \n") + INET6_ADDRSTRLEN)];
	size_t len = 0;
	int err;

	for (size_t i = 0; i < servers->n; i++)
		len += (size_t)snprintf(
			text + len, sizeof(text) - len, "nameserver %s\n", servers->at[i]);
	/* A file beside it, then its name: readers see the one or the other. */
	err = write_file(BESIDE, O_CREAT | O_NOFOLLOW, text, len);
	if (!err && rename(BESIDE, RESOLV_CONF) < 0)
		err = -errno;
	if (err)
		unlink(BESIDE);
	/* In a container it is mounted over: in place then. */
	return err == -EBUSY ? write_file(RESOLV_CONF, 0, text, len) : err;
}
