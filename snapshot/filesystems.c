/* snapshot/filesystems.c - file systems that take no writes for a while */
#include "snapshot/filesystems.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/fs.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/mounts.h"

/* On a device, or of a type that has several of them and shows none. */
static bool is_on_disk(const struct mount *m)
{
	static const char *const types[] = {"btrfs", "bcachefs", "zfs"};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strcmp(m->type, types[i]) == 0)
			return true;
	}
	return strncmp(m->device, "0:", 2) != 0;
}

/* Mounted once more further up in the list: it had its turn. */
static bool had_its_turn(const struct mounts *m, size_t i)
{
	for (size_t j = i + 1; j < m->n; j++) {
		if (strcmp(m->at[j].device, m->at[i].device) == 0)
			return true;
	}
	return false;
}

/* 0, also for one that knows no freezing, or -errno. */
static int freeze(struct filesystems *list, const char *path)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return errno == ENOTDIR ? 0 : -errno; /* a file that is mounted over */
	if (list->n == MAX_FROZEN)
		return -ENFILE;
	if (ioctl(fd, FIFREEZE, 0) < 0) {
		/* EBUSY: somebody else has, and will thaw it. */
		if (errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL || errno == EBUSY)
			return 0;
		return -errno;
	}
	list->at[list->n++] = (struct frozen_fs){.path = xstrdup(path), .fd = take_fd(&fd)};
	return 0;
}

int filesystems_freeze(struct filesystems *list, struct failure *f)
{
	struct mounts mounts;
	int err = mounts_read(&mounts);

	list->n = 0;
	if (err)
		return failure_set(f, err, "filesystems", NULL, "cannot tell what is mounted: %s",
			strerror(-err));
	sync();
	for (size_t i = mounts.n; i-- > 0 && !err;) {
		const struct mount *m = &mounts.at[i];

		if (!is_on_disk(m) || mount_has_option(m->super, "ro") || had_its_turn(&mounts, i))
			continue;
		err = freeze(list, m->point);
		if (err)
			failure_set(f, err, "filesystems", m->point, "cannot freeze %s: %s",
				m->point, strerror(-err));
	}
	mounts_free(&mounts);
	if (err)
		filesystems_thaw(list);
	return err;
}

void filesystems_thaw(struct filesystems *list)
{
	while (list->n) {
		struct frozen_fs *fs = &list->at[--list->n];

		/* EINVAL: somebody else has thawed it. */
		if (ioctl(fs->fd, FITHAW, 0) < 0 && errno != EINVAL)
			log_error("snapshot", "cannot thaw path=%s err=%s", fs->path,
				strerror(errno));
		fd_close(&fs->fd);
		free(fs->path);
	}
}
