/* init/oom.c - whom the kernel kills when there is no memory left */
#include "init/oom.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"

void oom_set(const char *adjustment)
{
	cleanup_fd int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	int err = fd < 0 ? -errno : fd_write_all(fd, adjustment, strlen(adjustment));

	if (err)
		log_warn("init", "oom_score_adj=%s err=%s", adjustment, strerror(-err));
}
