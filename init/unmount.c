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

static void unmount(const char *path)
{
	if (holds_nothing(path))
		return;
	if (strcmp(path, "/") != 0 && umount2(path, UMOUNT_NOFOLLOW) == 0)
		return;
	if (mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		log_info("init", "still mounted path=%s err=%s", path, strerror(errno));
}

void unmount_all(void)
{
	struct mounts mounts;
	int err = mounts_read(&mounts);

	if (err)
		log_warn("init", "cannot tell what is mounted err=%s", strerror(-err));
	for (size_t i = mounts.n; i-- > 0;)
		unmount(mounts.at[i].point);
	mounts_free(&mounts);
}
