/* snapshot/filesystems.c - file systems that take no writes for a while */
#include "snapshot/filesystems.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/fs.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/mounts.h"
#include "guestd/config.h"

/* MAX_FROZEN paths; a longer file is not ours. */
#define NOTE_MAX ((size_t)MAX_FROZEN * PATH_MAX)

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

/*
 * What is about to be frozen stands in a file, each path with a NUL behind it: whoever starts after an agent
 * that was killed meanwhile thaws that.  Written before the first is frozen, removed after the last is
 * thawed, so it may lie on one of them.
 */
static void note_path(char *out, size_t len)
{
	snprintf(out, len, "%s/frozen", config()->run_dir);
}

static void write_note(const struct mounts *mounts, const bool *wanted)
{
	char path[PATH_MAX];
	int err = 0;

	note_path(path, sizeof(path));
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		err = -errno;
	for (size_t i = 0; i < mounts->n && !err; i++) {
		if (wanted[i])
			err = fd_write_all(
				fd, mounts->at[i].point, strlen(mounts->at[i].point) + 1);
	}
	if (err)
		log_warn("snapshot",
			"cannot note what is frozen path=%s err=%s: what is killed now leaves it so",
			path, err_name(err));
}

static void remove_note(void)
{
	char path[PATH_MAX];

	note_path(path, sizeof(path));
	unlink(path);
}

int filesystems_freeze(struct filesystems *list, struct failure *f)
{
	struct mounts mounts;
	int err = mounts_read(&mounts);
	bool *wanted;

	list->n = 0;
	if (err)
		return failure_set(f, err, "filesystems", NULL, "cannot tell what is mounted: %s",
			strerror(-err));
	wanted = xcalloc(mounts.n + 1, sizeof(*wanted));
	for (size_t i = 0; i < mounts.n; i++)
		wanted[i] = is_on_disk(&mounts.at[i]) &&
			    !mount_has_option(mounts.at[i].super, "ro") &&
			    !had_its_turn(&mounts, i);
	write_note(&mounts, wanted);
	sync();
	for (size_t i = mounts.n; i-- > 0 && !err;) {
		const char *point = mounts.at[i].point;

		if (!wanted[i])
			continue;
		err = freeze(list, point);
		if (err)
			failure_set(f, err, "filesystems", point, "cannot freeze %s: %s", point,
				strerror(-err));
	}
	free(wanted);
	mounts_free(&mounts);
	if (err)
		filesystems_thaw(list);
	return err;
}

/* Also one that a dead agent froze. */
static void thaw(int fd, const char *path)
{
	/* EINVAL: somebody else has thawed it. */
	if (ioctl(fd, FITHAW, 0) < 0 && errno != EINVAL)
		log_error("snapshot", "cannot thaw path=%s err=%s", path, strerror(errno));
}

void filesystems_thaw(struct filesystems *list)
{
	bool any = list->n > 0;

	while (list->n) {
		struct frozen_fs *fs = &list->at[--list->n];

		thaw(fs->fd, fs->path);
		fd_close(&fs->fd);
		free(fs->path);
	}
	if (any)
		remove_note();
}

bool filesystems_are_left(void)
{
	char path[PATH_MAX];

	note_path(path, sizeof(path));
	return access(path, F_OK) == 0;
}

void filesystems_thaw_left(void)
{
	char path[PATH_MAX], *text = xmalloc(NOTE_MAX);
	ssize_t len;

	note_path(path, sizeof(path));
	len = fd_read_file(path, text, NOTE_MAX);
	for (const char *at = text; len > 0 && at < text + len; at += strlen(at) + 1) {
		cleanup_fd int fd = open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);

		log_warn("snapshot", "thawing what a dead agent froze path=%s", at);
		if (fd >= 0)
			thaw(fd, at);
	}
	free(text);
	remove_note();
}
