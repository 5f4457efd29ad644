/* init/unmount.c - file systems out of the tree, before the machine ends */
#include "init/unmount.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mounts.h"

/* Kernel file systems hold nothing, and the ones below /dev, /proc and /sys are such. */
static bool holds_nothing(const char *path)
{
	static const char *const tops[] = {"/dev", "/proc", "/sys"};

	for (size_t i = 0; i < ARRAY_LEN(tops); i++) {
		size_t n = strlen(tops[i]);

		if (strncmp(path, tops[i], n) == 0 && (path[n] == '\0' || path[n] == '/'))
			return true;
	}
	return false;
}

/*
 * Read-only first: an overlay still holds the file system below it when that is out of the tree, and
 * so does a process that the kernel cannot end; but what is read-only is clean on its disk.
 */
static void unmount(const struct mount *m)
{
	int err = 0;

	if (holds_nothing(m->point))
		return;
	/* One that has no disk may be in use, by us among others. */
	if (mount(NULL, m->point, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		err = errno;
	if (strcmp(m->point, "/") != 0 && umount2(m->point, UMOUNT_NOFOLLOW) == 0)
		return;
	if (err)
		log_info("init", "still mounted path=%s err=%s", m->point, strerror(err));
}

void unmount_all(void)
{
	struct mounts mounts;
	int err = mounts_read(&mounts);

	if (err)
		log_warn("init", "cannot tell what is mounted err=%s", strerror(-err));
	for (size_t i = mounts.n; i-- > 0;)
		unmount(&mounts.at[i]);
	mounts_free(&mounts);
}
