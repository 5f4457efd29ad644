/*
 * base/fd.h - descriptors: one owner, CLOEXEC from birth, -1 means none
 */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <stddef.h>
#include <sys/types.h>

#include "base/check.h"

/* Closes at the end of the scope unless handed over with take_fd. */
#define cleanup_fd __attribute__((cleanup(fd_cleanup)))

/* Closes *FD unless it is -1, and sets it to -1.  Keeps errno. */
void fd_close(int *fd);
void fd_cleanup(int *fd);

/* The value of *FD, whose owner the caller becomes. */
static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* 0 or -errno. */
MUST_CHECK int fd_set_nonblock(int fd);

/* Reads FD to its end, or LEN bytes of it.  Bytes or -errno. */
MUST_CHECK ssize_t fd_read_all(int fd, char *buf, size_t len);

/* Reads a whole file of at most LEN - 1 bytes into BUF and terminates it.  Bytes or -errno. */
MUST_CHECK ssize_t fd_read_file(const char *path, char *buf, size_t len);

/* All LEN bytes to a blocking descriptor.  0 or -errno. */
MUST_CHECK int fd_write_all(int fd, const void *bytes, size_t len);

#endif
