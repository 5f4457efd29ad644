/* fs/watch_disk.c - the files that a watch looks at */
#include "fs/watch_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/fd.h"

#define PATH_BYTES_MAX (1u << 20)

static uint64_t mix(uint64_t h)
{
	h ^= h >> 31;
	h *= UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 32;
}

static void digest(const struct stat *st, struct watch_stat *out)
{
	uint64_t who = (uint64_t)st->st_uid << 32 | st->st_gid;

	out->id = st->st_ino ^ st->st_dev * UINT64_C(0x9e3779b97f4a7c15);
	out->id += !out->id;
	out->mtime_ns = (int64_t)((uint64_t)st->st_mtim.tv_sec * 1000000000u) + st->st_mtim.tv_nsec;
	out->size = (uint64_t)st->st_size;
	out->attributes = (uint32_t)mix(mix(who) ^ st->st_mode);
	out->dir = S_ISDIR(st->st_mode);
}

const char *disk_path(struct watch_disk *d, const char *below)
{
	buf_consume(&d->path, buf_len(&d->path));
	if (buf_add(&d->path, d->root, strlen(d->root)) < 0 ||
		buf_add(&d->path, below, strlen(below) + 1) < 0)
		return "/nowhere"; /* watch_pipe makes none that long */
	return *buf_bytes(&d->path) ? buf_bytes(&d->path) : "/";
}

const char *disk_path_of(struct watch_disk *d, const struct watch_place *at)
{
	const char *path = disk_path(d, at->dir);

	if (!*at->name)
		return path;
	d->path.tail--; /* the NUL */
	if (buf_add(&d->path, "/", 1) < 0 || buf_add(&d->path, at->name, strlen(at->name) + 1) < 0)
		return "/nowhere";
	return buf_bytes(&d->path);
}

int disk_open_root(struct watch_disk *d, const char *path, struct failure *f)
{
	struct stat st;

	buf_init(&d->path, PATH_BYTES_MAX);
	d->parent = -1;
	d->root = realpath(path, NULL);
	if (!d->root || lstat(d->root, &st) < 0)
		return failure_set(
			f, -errno, NULL, path, "cannot watch %s: %s", path, strerror(errno));
	d->dir = S_ISDIR(st.st_mode);
	if (strcmp(d->root, "/") == 0)
		*d->root = '\0';
	return 0;
}

void disk_close(struct watch_disk *d)
{
	if (!d->path.max) /* it was never opened */
		return;
	disk_leave(d);
	disk_rest(d);
	buf_fini(&d->path);
	free(d->root);
	d->root = NULL;
}

/* Changes that somebody else makes to it are not told by our kernel. */
static bool is_remote(long type)
{
	static const unsigned long types[] = {
		0x6969,     /* nfs */
		0x517b,     /* smb */
		0xff534d42, /* cifs */
		0xfe534d42, /* smb2 */
		0x01021997, /* 9p */
		0x65735546, /* fuse, virtiofs */
		0x00c36400, /* ceph */
		0x5346414f, /* afs */
		0x6b414653, /* kafs */
		0x73757245, /* coda */
		0x01161970, /* gfs2 */
		0x7461636f, /* ocfs2 */
		0x786f4256, /* vboxsf */
	};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if ((uint32_t)type == types[i])
			return true;
	}
	return false;
}

static void note_file_system(struct watch_disk *d, int fd, dev_t dev)
{
	struct statfs fs;

	for (size_t i = 0; i < MIN(d->n_known, DISK_KNOWN); i++) {
		if (d->known[i] == dev)
			return;
	}
	d->known[d->n_known++ % DISK_KNOWN] = dev;
	if (fstatfs(fd, &fs) == 0 && is_remote((long)fs.f_type))
		d->remote = true;
}

void disk_rest(struct watch_disk *d)
{
	fd_close(&d->parent);
}

/* The directory of AT into d->parent, which is the one that is meant.  0 or -errno. */
static int open_parent(struct watch_disk *d, const struct watch_place *at)
{
	struct watch_stat st;
	struct stat native;
	struct path path;
	int err;

	if (d->parent >= 0 && d->parent_id == at->dir_id)
		return 0; /* wherever it is by now */
	disk_rest(d);
	err = path_open(disk_path(d, at->dir), &path);
	if (!err) {
		d->parent = openat(path.dir, path.name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		err = d->parent < 0 ? -errno : 0;
	}
	path_close(&path);
	if (err)
		return err == -ENOENT || err == -ENOTDIR ? -ESTALE : err;
	if (fstat(d->parent, &native) < 0)
		return -errno;
	digest(&native, &st);
	d->parent_id = st.id;
	return st.id == at->dir_id ? 0 : -ESTALE;
}

int disk_enter(struct watch_disk *d, const struct watch_place *at, struct watch_stat *st)
{
	cleanup_fd int fd = -1;
	struct stat native;
	struct path root = {.dir = AT_FDCWD};
	int err = *at->name ? open_parent(d, at) : path_open(disk_path(d, ""), &root);

	if (!err) {
		fd = openat(*at->name ? d->parent : root.dir, *at->name ? at->name : root.name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		err = fd < 0 ? -errno : 0;
	}
	path_close(&root);
	if (err)
		return err;
	if (fstat(fd, &native) < 0)
		return -errno;
	digest(&native, st);
	note_file_system(d, fd, native.st_dev);
	d->open = fdopendir(fd);
	if (!d->open)
		return -errno;
	(void)take_fd(&fd);
	return dirfd(d->open);
}

int disk_next(struct watch_disk *d, const char **name, bool *dir)
{
	struct dirent *e;
	struct stat st;

	do {
		errno = 0;
		e = readdir(d->open);
		if (!e)
			return -errno;
	} while (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
	*name = e->d_name;
	*dir = e->d_type == DT_DIR;
	if (e->d_type == DT_UNKNOWN &&
		fstatat(dirfd(d->open), e->d_name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0)
		*dir = S_ISDIR(st.st_mode);
	return 1;
}

int disk_stat(struct watch_disk *d, const char *name, struct watch_stat *st)
{
	struct stat native;

	if (fstatat(dirfd(d->open), name, &native, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		return -errno;
	digest(&native, st);
	return 0;
}

void disk_leave(struct watch_disk *d)
{
	if (d->open)
		closedir(d->open);
	d->open = NULL;
}

int disk_look(struct watch_disk *d, const struct watch_place *at, struct watch_stat *st)
{
	struct stat native;
	struct path root = {.dir = AT_FDCWD};
	int err = *at->name ? open_parent(d, at) : path_open(disk_path(d, ""), &root);

	if (!err && fstatat(*at->name ? d->parent : root.dir, *at->name ? at->name : root.name,
			    &native, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
		err = -errno;
	path_close(&root);
	if (!err)
		digest(&native, st);
	return err;
}
