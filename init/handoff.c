/* init/handoff.c - another program becomes process 1 */
#include "init/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "guestd/config.h"
#include "init/early.h"
#include "init/place.h"

/* What is ours is below it; the agent puts the cgroups of processes there, too. */
#define CGROUP "guestd"

/* As the kernel starts an init (init/main.c), with a PATH. */
static const char *const environment[] = {"HOME=/", "TERM=linux", "PATH=" INIT_PATH, NULL};

/* Returns where the exec fails: -errno. */
static int become(const char *path, char **argv)
{
	sigset_t none, before;
	char *own = argv[0];
	int err;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, &before);
	argv[0] = (char *)path;
	execve(path, argv, (char *const *)environment);
	err = -errno;
	argv[0] = own;
	sigprocmask(SIG_SETMASK, &before, NULL);
	signal(SIGPIPE, SIG_IGN);
	return err;
}

/* Has process 1 closed its end with an exec, or did it say that there was none? */
static bool exec_is_through(int fd)
{
	char byte;
	ssize_t n;

	do {
		n = read(fd, &byte, 1);
	} while (n < 0 && errno == EINTR);
	return n == 0;
}

static void settle(char **argv)
{
	setsid();
	/* systemd spares whoever is marked so when it kills what an initramfs has left. */
	if (argv[0] && *argv[0])
		*argv[0] = '@';
	prctl(PR_SET_NAME, "guestd");
	/* Processes of an agent that died come to us, who tell the next one of their ends. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	place_allow_limits("");
	place_self(CGROUP "/agent");
	place_allow_limits(CGROUP);
	if (access(PLACE_TOP "/" CGROUP "/cgroup.procs", F_OK) == 0)
		config_set_cgroup(PLACE_TOP "/" CGROUP);
}

bool handoff(const char *path, char **argv)
{
	int through[2], err = 0;
	pid_t pid = -1;

	if (pipe2(through, O_CLOEXEC) < 0) {
		log_error("init", "no hand-over path=%s err=%s", path, strerror(errno));
		return false;
	}
	pid = fork();
	if (pid == 0) {
		fd_close(&through[1]);
		if (!exec_is_through(through[0]))
			_exit(0);
		fd_close(&through[0]);
		settle(argv);
		return true;
	}
	fd_close(&through[0]);
	if (pid > 0) {
		log_info("init", "hands process 1 over path=%s supervisor=%d", path, (int)pid);
		err = become(path, argv);
		if (fd_write_all(through[1], "", 1))
			kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	} else {
		err = -errno;
	}
	fd_close(&through[1]);
	log_error("init", "cannot hand process 1 over, and stays it path=%s err=%s", path,
		strerror(-err));
	return false;
}
