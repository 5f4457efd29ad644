/*
 * init/mounts.c - /proc, /sys, /dev and their kin
 *
 * All of it may be there already: the kernel can mount devtmpfs by itself, and a root file system
 * may come with mounts.  A second tmpfs on /run would hide what is in the first, so a directory
 * that is a mount point is left as it is.
 */
#include "init/mounts.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"

/* In order: a mount point may lie in a file system mounted above it.  /dev is the first. */
static const struct mount_point {
	const char *target, *type;
	unsigned long flags;
	const char *options;
	bool bare_too; /* older kernels refuse the options: try without */
} points[] = {
	{"/dev", "devtmpfs", MS_NOSUID, "mode=0755", false},
	{"/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false},
	{"/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false},
	/* 5 is the group "tty" of every distribution: grantpt(3) expects it. */
	{"/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666", false},
	{"/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", false},
	{"/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, false},
	{"/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755", false},
	{"/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777", false},
	{"/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		"nsdelegate,memory_recursiveprot", true},
};

static const struct dev_link {
	const char *path, *target;
} links[] = {
	{"/dev/fd", "/proc/self/fd"},
	{"/dev/stdin", "/proc/self/fd/0"},
	{"/dev/stdout", "/proc/self/fd/1"},
	{"/dev/stderr", "/proc/self/fd/2"},
	{"/dev/ptmx", "pts/ptmx"},
};

static bool is_mount_point(const char *path)
{
	char above[64];
	struct stat st, up;
	int len = snprintf(above, sizeof(above), "%s/..", path);

	ASSERT(len > 0 && (size_t)len < sizeof(above));
	return stat(path, &st) == 0 && stat(above, &up) == 0 && st.st_dev != up.st_dev;
}

static int try_mount(const struct mount_point *p)
{
	if (mount(p->type, p->target, p->type, p->flags, p->options) == 0)
		return 0;
	if (errno == EINVAL && p->bare_too &&
		mount(p->type, p->target, p->type, p->flags, NULL) == 0)
		return 0;
	return errno == EBUSY ? 0 : -errno;
}

static void mount_one(const struct mount_point *p)
{
	int err;

	/* EROFS: a read-only root, which may have the directory all the same. */
	if (mkdir(p->target, 0755) < 0 && errno != EEXIST && errno != EROFS) {
		log_warn("init", "mkdir path=%s err=%s", p->target, strerror(errno));
		return;
	}
	if (is_mount_point(p->target))
		return;
	err = try_mount(p);
	/* ENODEV: not in this kernel.  Images are trimmed, and a warning would be there for ever. */
	if (err == -ENODEV)
		log_info("init", "no such file system type=%s", p->type);
	else if (err)
		log_warn(
			"init", "mount path=%s type=%s err=%s", p->target, p->type, strerror(-err));
}

static void link_one(const struct dev_link *l)
{
	struct stat st;

	if (symlink(l->target, l->path) == 0)
		return;
	/* devtmpfs brings a ptmx node of its own, which knows nothing of ptmxmode. */
	if (errno == EEXIST && lstat(l->path, &st) == 0) {
		if (S_ISLNK(st.st_mode))
			return;
		if (S_ISCHR(st.st_mode) && unlink(l->path) == 0 && symlink(l->target, l->path) == 0)
			return;
	}
	log_warn("init", "link path=%s err=%s", l->path, strerror(errno));
}

bool mounts_dev(void)
{
	static const struct mount_point plain = {"/dev", "tmpfs", MS_NOSUID, "mode=0755", false};

	mount_one(&points[0]);
	if (is_mount_point("/dev"))
		return true;
	mount_one(&plain);
	return false;
}

void mounts_all(void)
{
	for (size_t i = 0; i < ARRAY_LEN(points); i++)
		mount_one(&points[i]);
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		link_one(&links[i]);
}

void mounts_share(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0)
		log_warn("init", "cannot share the mounts err=%s", strerror(errno));
}
