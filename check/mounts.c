/* check/mounts.c - the file systems that the agent and the programs of a guest take for granted */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "check/checks.h"
#include "check/report.h"

static bool is_a(const char *path, unsigned long magic)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == magic;
}

void check_proc(void)
{
	if (is_a("/proc", PROC_SUPER_MAGIC))
		say_ok("/proc");
	else
		say_fail("mount -t proc proc /proc",
			"/proc is not mounted: the agent finds neither processes, ports nor mounts");
}

void check_sys(void)
{
	if (is_a("/sys", SYSFS_MAGIC))
		say_ok("/sys");
	else
		say_warn("mount -t sysfs sys /sys",
			"/sys is not mounted: virtio ports are not found by name, some metrics are left out");
}

/* What is on a disk outlives the boot that it was true for. */
void check_run(void)
{
	if (is_a("/run", TMPFS_MAGIC))
		say_ok("/run is a tmpfs");
	else
		say_warn("mount -t tmpfs -o mode=0755 run /run",
			"/run is no tmpfs: sockets and state of the last boot stay in it");
}

void check_pty(void)
{
	static const char *const mend =
		"mount -t devpts -o gid=5,mode=0620,ptmxmode=0666 devpts /dev/pts, and link /dev/ptmx to "
		"pts/ptmx";
	int flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
	cleanup_fd int master = open("/dev/ptmx", flags);
	char slave[32];
	unsigned n;

	if (!is_a("/dev/pts", DEVPTS_SUPER_MAGIC)) {
		say_fail(mend, "/dev/pts is not mounted: no terminals");
		return;
	}
	if (master < 0)
		master = open("/dev/pts/ptmx", flags);
	if (master < 0 || ioctl(master, TIOCGPTN, &n) < 0) {
		say_fail(mend, "no terminal can be had: %s", strerror(errno));
		return;
	}
	snprintf(slave, sizeof(slave), "/dev/pts/%u", n);
	if (access(slave, F_OK) < 0)
		say_fail(mend, "/dev/ptmx belongs to another /dev/pts: %s: %s", slave,
			strerror(errno));
	else
		say_ok("/dev/pts");
}

void check_shm(void)
{
	struct stat st;

	if (stat("/dev/shm", &st) == 0 && (st.st_mode & 01777) == 01777)
		say_ok("/dev/shm");
	else
		say_warn("mount -t tmpfs -o mode=1777 shm /dev/shm",
			"/dev/shm is not there for all: programs that use POSIX shared memory fail");
}
