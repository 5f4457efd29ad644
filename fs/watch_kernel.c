/* fs/watch_kernel.c - what the two backends share */
#include "fs/watch_kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

/* More than any queue of the kernel holds: somebody writes faster than we read. */
#define DRAIN_MAX (64u << 20)

void watch_kernel_init(struct watch_kernel *k)
{
	k->wait_fd = k->fd = k->root_fd = k->epoll_fd = -1;
}

int watch_kernel_start(
	struct watch_kernel *k, const struct watch_backend *backend, struct failure *f)
{
	int err;

	k->backend = backend;
	k->buf = xmalloc(WATCH_READ_MAX);
	err = backend->start(k, f);
	k->wait_fd = k->epoll_fd >= 0 ? k->epoll_fd : k->fd;
	return err;
}

void watch_kernel_stop(struct watch_kernel *k)
{
	fd_close(&k->epoll_fd);
	fd_close(&k->root_fd);
	fd_close(&k->fd);
	free(k->buf);
	k->buf = NULL;
	k->n_marked = 0;
}

size_t watch_kernel_read(struct watch_kernel *k, size_t len)
{
	ssize_t n;

	do {
		n = read(k->fd, k->buf, len);
	} while (n < 0 && errno == EINTR);
	return n > 0 ? (size_t)n : 0;
}

void watch_kernel_drain(struct watch_kernel *k)
{
	size_t all = 0, n;

	while (all < DRAIN_MAX && (n = watch_kernel_read(k, WATCH_READ_MAX)))
		all += n;
}

void watch_kernel_limit(const char *name, char *text, size_t len)
{
	char path[80], value[32];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	for (char *c = path + strlen("/proc/sys/"); *c; c++) {
		if (*c == '.')
			*c = '/';
	}
	n = fd_read_file(path, value, sizeof(value));
	if (n > 0)
		value[strcspn(value, "\n")] = '\0';
	snprintf(text, len, "%s is %s", name, n > 0 ? value : "unknown");
}
