/*
 * init/early.c - the state that the kernel hands to PID 1, made a known one
 *
 * The kernel passes every word of its command line that it does not know to init, as an argument
 * or as an environment variable, and starts init without descriptors 0 to 2 when it found no
 * console; the next file opened would then become stdin, stdout or stderr.
 */
#include "init/early.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

void early_process(void)
{
	umask(022);
	if (clearenv() || setenv("PATH", INIT_PATH, 1))
		log_warn("init", "cannot set the environment");
	/* Otherwise the host's Ctrl-Alt-Del restarts the guest at once, without a sync (reboot(2)). */
	if (reboot(RB_DISABLE_CAD) < 0)
		log_warn("init", "disable ctrl-alt-del err=%s", strerror(errno));
}

void early_fds(void)
{
	cleanup_fd int fd = -1;

	/* A serial console that the machine lacks answers EIO or ENODEV: no reason not to boot. */
	fd = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		log_error("init", "no /dev/console and no /dev/null err=%s", strerror(errno));
		return;
	}
	for (int i = STDIN_FILENO; i <= STDERR_FILENO; i++) {
		/* dup2 clears FD_CLOEXEC, except that it does nothing where both are the same. */
		if (i == fd && fcntl(fd, F_SETFD, 0) == 0)
			continue;
		if (fcntl(i, F_GETFD) < 0 && dup2(fd, i) < 0)
			log_warn("init", "descriptor fd=%d err=%s", i, strerror(errno));
	}
	if (fd <= STDERR_FILENO)
		(void)take_fd(&fd);
}
