/* fs/merge.c - a tree goes into one that is there */
#include "fs/merge.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/attrs.h"
#include "fs/mode.h"

static bool canceled(const void *ctx)
{
	return work_canceled(ctx);
}

/* Walk and dive from the top. */
static int begin(struct merge *m)
{
	int from = openat(m->from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), to, err;

	if (from < 0)
		return -errno;
	err = fs_walk_start_fd(&m->walk, from, m->path, canceled, m->w);
	if (err)
		return err;
	to = openat(m->to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return to < 0 ? -errno : dive_start(&m->dive, to);
}

static void end(struct merge *m)
{
	fs_walk_fini(&m->walk);
	dive_fini(&m->dive);
}

int merge_begin(struct merge *m, struct work *w, int from, int to, const char *path)
{
	int err;

	*m = (struct merge){.w = w, .from = from, .to = to, .path = path, .looking = true};
	m->dive.fd = -1;
	err = begin(m);
	return err ? work_fail(w, err, path, "cannot look into %s", path) : 0;
}

/* Could something be renamed into the directory where it stands? */
static int look(struct merge *m, dev_t dev)
{
	if (dive_top(&m->dive)->dev != dev)
		return -EXDEV;
	return faccessat(m->dive.fd, ".", W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* Before what is in a new directory gets out, which changes it. */
static void note(struct merge *m, const struct stat *st)
{
	struct dive_level *level = dive_top(&m->dive);

	level->mode = st->st_mode;
	level->atim = st->st_atim;
	level->mtim = st->st_mtim;
}

/* A directory of both. */
static int enter(struct merge *m, const struct fs_walk_item *item, const struct stat *st)
{
	int err = dive_enter(&m->dive, item->name);

	if (err || m->looking)
		return err ? err : look(m, st->st_dev);
	note(m, st);
	return geteuid() ? mode_set(item->dir, item->name, 0700) : 0;
}

/* The rename of a directory changes its "..", for which root alone needs no right to write. */
static int move(const struct merge *m, const struct fs_walk_item *item, const struct stat *st)
{
	bool locked = geteuid() && S_ISDIR(st->st_mode) && !(st->st_mode & S_IWUSR);
	int err = locked ? mode_set(item->dir, item->name, 0700) : 0;

	if (err)
		return err;
	if (renameat(item->dir, item->name, m->dive.fd, item->name) < 0)
		return -errno;
	return locked ? mode_set(m->dive.fd, item->name, st->st_mode & 07777) : 0;
}

static int on_entry(struct merge *m, const struct fs_walk_item *item)
{
	struct stat st, there;
	bool dir, exists;

	if (fstatat(item->dir, item->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	exists = fstatat(m->dive.fd, item->name, &there, AT_SYMLINK_NOFOLLOW) == 0;
	if (!exists && errno != ENOENT)
		return -errno;
	dir = S_ISDIR(st.st_mode);
	if (exists && dir && S_ISDIR(there.st_mode))
		return enter(m, item, &st);
	fs_walk_skip(&m->walk);
	if (exists && dir)
		return -ENOTDIR;
	if (exists && S_ISDIR(there.st_mode))
		return -EISDIR;
	if (exists && (S_ISCHR(there.st_mode) || S_ISBLK(there.st_mode)))
		return -EEXIST;
	return m->looking ? 0 : move(m, item, &st);
}

/* The attributes of the directory FROM for the one where it stands. */
static int take_attributes(struct merge *m, int from)
{
	const struct dive_level *level = dive_top(&m->dive);
	struct stat st;

	if (fstat(from, &st) < 0)
		return -errno;
	st.st_mode = level->mode;
	st.st_atim = level->atim;
	st.st_mtim = level->mtim;
	m->lost |= attrs_copy(from, &st, m->dive.fd, st.st_uid, st.st_gid);
	return 0;
}

static int on_leave(struct merge *m, const struct fs_walk_item *item)
{
	int err = 0;

	if (!m->looking) {
		cleanup_fd int from = openat(
			item->dir, item->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		err = from < 0 ? -errno : take_attributes(m, from);
	}
	return err ? err : dive_leave(&m->dive);
}

static int on_item(struct merge *m, const struct fs_walk_item *item)
{
	int err = item->err;

	if (item->what == FS_WALK_ENTRY)
		err = on_entry(m, item);
	else if (item->what == FS_WALK_LEAVE)
		err = on_leave(m, item);
	return err;
}

/* It can be done: once more, and now it is. */
static int begin_moving(struct merge *m)
{
	struct stat st;
	int err;

	if (fstat(m->from, &st) < 0)
		return -errno;
	err = look(m, st.st_dev);
	if (err)
		return err;
	end(m);
	m->looking = false;
	err = begin(m);
	if (err)
		return err;
	note(m, &st);
	return geteuid() && fchmod(m->from, 0700) < 0 ? -errno : 0;
}

static int failed(struct merge *m, int err, const char *path)
{
	return work_fail(m->w, err, path, "cannot put it to %s", path);
}

int merge_step(struct merge *m, struct step *s)
{
	struct fs_walk_item item;
	int err;

	do {
		err = fs_walk_next(&m->walk, &item);
		if (err > 0) {
			err = on_item(m, &item);
			if (err)
				return failed(m, err, item.path);
		} else if (!err && m->looking) {
			err = begin_moving(m);
			if (err)
				return failed(m, err, m->path);
		} else {
			return err;
		}
	} while (!step_due(s));
	return STEP_MORE;
}

int merge_finish(struct merge *m)
{
	int err = take_attributes(m, m->from);

	return err ? failed(m, err, m->path) : 0;
}

void merge_fini(struct merge *m)
{
	end(m);
}
