/* fs/place.c - where something new is to stand */
#include "fs/place.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/sys.h"

void place_new_temp(struct place *p)
{
	uint64_t random;

	/* It need not be secret: who finds it taken tries another one. */
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0)
		random = clock_mono_us() ^ (uint64_t)(uintptr_t)p;
	snprintf(p->temp, sizeof(p->temp), ".guestd-%016llx", (unsigned long long)random);
}

/* Opens the directory of P, LEN bytes of its path, where none is to be made. */
static int open_front(struct place *p, size_t len)
{
	char *front = strndup(p->whole, len);
	struct path way;
	int err, fd;

	if (!front)
		return -ENOMEM;
	err = path_open(front, &way);
	if (!err) {
		fd = openat(way.dir, way.name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			err = -errno;
		p->at = (struct path){.dir = fd, .name = p->name};
	}
	path_close(&way);
	free(front);
	return err;
}

int place_open(struct place *p, const char *path, bool parents)
{
	size_t len;
	const char *base = path_base(path, &len);
	int err;

	*p = (struct place){.at = {.dir = AT_FDCWD}, .whole = path};
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(p->name, base, len);
	if (strcmp(p->name, "/") == 0)
		return -EBUSY;
	if (strcmp(p->name, ".") == 0 || strcmp(p->name, "..") == 0)
		return -EINVAL;
	err = parents ? path_open_parents(path, NULL, &p->at)
		      : open_front(p, (size_t)(base - path));
	place_new_temp(p);
	return err;
}

static bool same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The deepest directory above PATH that is there, or -1. */
static int open_deepest(const char *path)
{
	struct place p = {.whole = path, .at = {.dir = AT_FDCWD}};
	size_t len = strlen(path);
	int err;

	do {
		while (len && path[len - 1] == '/')
			len--;
		while (len && path[len - 1] != '/')
			len--;
		err = len ? open_front(&p, len) : -ENOENT;
	} while (err && len);
	return err ? -1 : p.at.dir;
}

bool place_is_within(const char *path, const struct stat *dir)
{
	int fd = open_deepest(path), up;
	struct stat st, above;
	bool found = false;

	if (fd >= 0 && fstat(fd, &st) == 0)
		found = same(&st, dir);
	while (!found && fd >= 0) {
		up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		fd_close(&fd);
		if (up < 0 || fstat(up, &above) < 0 || same(&above, &st)) {
			fd_close(&up);
			break; /* the root */
		}
		fd = up;
		st = above;
		found = same(&st, dir);
	}
	fd_close(&fd);
	return found;
}

int place_stat(const struct place *p, struct stat *st)
{
	return fstatat(p->at.dir, p->name, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int place_rename(struct place *p, int dir, const char *name, bool overwrite)
{
	struct stat st;
	int err;

	err = (int)sys_raw(SYS_renameat2, dir, (long)name, p->at.dir, (long)p->name,
		overwrite ? 0 : RENAME_NOREPLACE, 0);
	if (err == -EINVAL && !overwrite && place_stat(p, &st) == 0)
		return -EEXIST;
	/* A file system that does not know the flag: who else comes at this moment is overwritten. */
	if (err == -EINVAL && !overwrite)
		err = renameat(dir, name, p->at.dir, p->name) < 0 ? -errno : 0;
	p->taken = p->taken || !err;
	return err;
}

int place_publish(struct place *p, bool overwrite)
{
	return place_rename(p, p->at.dir, p->temp, overwrite);
}

/* Removes the directories that were made for it, from the innermost on, as far as they are empty. */
static void remove_parents(struct place *p)
{
	const char *end = p->whole + strlen(p->whole);
	char name[NAME_MAX + 1];

	for (unsigned n = p->at.made; n; n--) {
		size_t len;
		const char *base;
		int up;

		/* The component before END, and the one before that: the directory that goes. */
		while (end > p->whole && end[-1] == '/')
			end--;
		while (end > p->whole && end[-1] != '/')
			end--;
		while (end > p->whole && end[-1] == '/')
			end--;
		base = end;
		while (base > p->whole && base[-1] != '/')
			base--;
		len = MIN((size_t)(end - base), NAME_MAX);
		memcpy(name, base, len);
		name[len] = '\0';
		up = openat(p->at.dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (up < 0)
			return;
		path_close(&p->at);
		p->at.dir = up;
		if (unlinkat(up, name, AT_REMOVEDIR) < 0)
			return;
	}
}

void place_close(struct place *p)
{
	if (!p->taken && p->at.made)
		remove_parents(p);
	path_close(&p->at);
}
