/* machine/replace.c - small files of the system, as a whole */
#include "machine/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

static int write_file(const char *path, int flags, mode_t mode, const char *text, size_t len)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC | flags, mode);

	if (fd < 0)
		return -errno;
	if (flags & O_CREAT && fchmod(fd, mode) < 0)
		return -errno;
	return fd_write_all(fd, text, len);
}

int replace_file(const char *path, const char *text, size_t len, mode_t mode)
{
	char *target = realpath(path, NULL);
	char beside[PATH_MAX];
	int err, n;

	if (!target && errno != ENOENT)
		return -errno;
	n = snprintf(beside, sizeof(beside), "%s.guestd", target ? target : path);
	err = n < 0 || (size_t)n >= sizeof(beside)
		      ? -ENAMETOOLONG
		      : write_file(beside, O_CREAT | O_NOFOLLOW, mode, text, len);
	if (!err && rename(beside, target ? target : path) < 0)
		err = -errno;
	if (err)
		unlink(beside);
	if (err == -EBUSY)
		err = write_file(target ? target : path, 0, mode, text, len);
	free(target);
	return err;
}
