/*
 * init/modules.c - loads the modules that the image lists
 *
 * A distribution's kernel has its virtio and vsock drivers as modules.  The image holds only those
 * it needs, and whoever packed it knows the order; so this takes neither modprobe nor an index of
 * dependencies, and no shell.
 */
#include "init/modules.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

/* Some hundred paths: far more than an image has a use for. */
#define ORDER_MAX_BYTES 16384

static int load_one(const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* By number: neither glibc nor musl wraps finit_module(2). */
	if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

void modules_load(void)
{
	static char order[ORDER_MAX_BYTES];
	unsigned loaded = 0, failed = 0;
	char *rest = NULL;
	ssize_t len = fd_read_file(MODULES_ORDER, order, sizeof(order));

	if (len == -ENOENT)
		return;
	if (len < 0) {
		log_error("init", "read path=%s err=%s", MODULES_ORDER, strerror((int)-len));
		return;
	}
	if ((size_t)len == sizeof(order) - 1)
		log_error("init", "too long: the end is left out path=%s", MODULES_ORDER);
	for (char *line = strtok_r(order, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		int err;

		line[strcspn(line, "# \t\r")] = '\0';
		if (!*line)
			continue;
		err = load_one(line);
		if (err)
			log_error("init", "module path=%s err=%s", line, strerror(-err));
		if (err)
			failed++;
		else
			loaded++;
	}
	log_info("init", "modules loaded=%u failed=%u", loaded, failed);
}
