/*
 * init/switch_root.c - from the initramfs to another root
 *
 * The initramfs is the kernel's rootfs, which cannot be unmounted, and which pivot_root(2) refuses.
 * So the new root is moved over it (Documentation/filesystems/ramfs-rootfs-initramfs.rst), and what it
 * holds is deleted, because nobody will ever see it again and it lies in memory.
 */
#include "init/switch_root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>

#include "base/fd.h"
#include "base/log.h"

/* No image is so deep; what is deeper stays, and a stack has an end. */
#define DEPTH_MAX 64

static const char *const moved[] = {"/dev", "/proc", "/sys", "/run"};

/* Consumes FD.  Never leaves the file system DEV, and follows no link.  How many bytes it deleted. */
static uint64_t delete_below(int fd, dev_t dev, unsigned depth)
{
	DIR *dir = fdopendir(fd);
	struct dirent *entry;
	uint64_t bytes = 0;

	if (!dir) {
		fd_close(&fd);
		return 0;
	}
	while ((entry = readdir(dir))) {
		const char *name = entry->d_name;
		struct stat st;
		int below;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != dev)
			continue;
		if (!S_ISDIR(st.st_mode)) {
			bytes += unlinkat(fd, name, 0) == 0 ? (uint64_t)st.st_size : 0;
			continue;
		}
		below = depth < DEPTH_MAX
				? openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
				: -1;
		if (below >= 0)
			bytes += delete_below(below, dev, depth + 1);
		unlinkat(fd, name, AT_REMOVEDIR);
	}
	closedir(dir);
	return bytes;
}

/* A root that is on a disk is nobody's to delete. */
static bool is_initramfs(int root)
{
	struct statfs st;

	return fstatfs(root, &st) == 0 &&
	       ((unsigned long)st.f_type == RAMFS_MAGIC || (unsigned long)st.f_type == TMPFS_MAGIC);
}

static int move_one(const char *path, size_t i)
{
	char to[128];
	struct stat st;

	snprintf(to, sizeof(to), "%s%s", path, moved[i]);
	if (mkdir(to, 0755) < 0 && errno != EEXIST && errno != EROFS)
		return -errno;
	/* A link in there would be followed in here. */
	if (lstat(to, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return mount(moved[i], to, NULL, MS_MOVE, NULL) < 0 ? -errno : 0;
}

static void move_back(const char *path, size_t n)
{
	while (n--) {
		char from[128];

		snprintf(from, sizeof(from), "%s%s", path, moved[n]);
		if (mount(from, moved[n], NULL, MS_MOVE, NULL) < 0)
			log_error("init", "cannot move %s back: %s", moved[n], strerror(errno));
	}
}

static int move_all(const char *path)
{
	for (size_t i = 0; i < ARRAY_LEN(moved); i++) {
		int err = move_one(path, i);

		if (err) {
			log_error("init", "the new root cannot have a %s: %s", moved[i],
				strerror(-err));
			move_back(path, i);
			return err;
		}
	}
	return 0;
}

int switch_root(const char *path)
{
	cleanup_fd int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	uint64_t bytes;
	int err;

	if (old < 0 || fstat(old, &st) < 0)
		return -errno;
	if (!is_initramfs(old)) {
		log_error("init", "the root is not changed: this one is no initramfs");
		return -EINVAL;
	}
	err = move_all(path);
	if (err)
		return err;
	if (chdir(path) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0) {
		err = -errno;
		log_error("init", "cannot change the root: %s", strerror(errno));
		if (chdir("/") == 0)
			move_back(path, ARRAY_LEN(moved));
		return err;
	}
	/* Of a directory that we are in and may search, these do not fail. */
	if (chroot(".") < 0 || chdir("/") < 0)
		log_error("init", "cannot enter the new root: %s", strerror(errno));
	/* Its own /tmp is what a guest sees; that of the initramfs has come to nothing. */
	bytes = delete_below(take_fd(&old), st.st_dev, 0);
	log_info("init", "changed the root freed_bytes=%llu", (unsigned long long)bytes);
	return 0;
}
