/* fs/output.c - a file that is being written: all or nothing, or in place */
#include "fs/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>
#include <linux/stat.h>

#include "base/fd.h"
#include "base/sys.h"
#include "fs/attrs.h"

/* One write: a cancel waits for no more than this. */
#define WRITE_MAX (1u << 20)

/* What output_wait waits at most. */
#define WAIT_MS 50

#define LEASE_TRIES   10
#define LEASE_WAIT_MS 10

/* As many links as the kernel follows (path_resolution(7)). */
#define MAX_LINKS 40

#define MODE_BITS 07777u
#define NEW_MODE  0644u

static const char *sha256_text(const char *s)
{
	size_t n = strspn(s, "0123456789abcdefABCDEF");

	return n == SHA256_HEX - 1 && !s[n] ? NULL : "64 hexadecimal digits";
}

const struct arg output_table[] = {
	ARG(struct output_args, path, .required = true, .check = arg_abs_path),
	ARG(struct output_args, mode, .dflt = -1, .max = MODE_BITS),
	ARG(struct output_args, append),
	ARG(struct output_args, offset, .dflt = -1),
	ARG(struct output_args, create, .dflt = true),
	ARG(struct output_args, exclusive),
	ARG(struct output_args, parents, .dflt = true),
	ARG(struct output_args, atomic, .dflt = true),
	ARG(struct output_args, sync),
	ARG(struct output_args, hash, .dflt = true),
	ARG(struct output_args, size, .dflt = -1),
	ARG(struct output_args, sha256, .check = sha256_text),
	ARG(struct output_args, mtime_us, .dflt = INT64_MIN),
	ARG_END,
};

int output_check(const struct output_args *a, struct failure *f)
{
	if (a->append && a->offset != OUTPUT_UNSET)
		return failure_set(f, ERR_BAD_PARAMS, NULL, NULL,
			"append and offset exclude each other: one is the end of the file");
	if (a->exclusive && !a->create)
		return failure_set(f, ERR_BAD_PARAMS, NULL, NULL,
			"exclusive needs create: the file must not be there before");
	return 0;
}

static int fail(
	const struct output *o, struct failure *f, int err, const char *stage, const char *what)
{
	return failure_set(
		f, err, stage, o->args->path, "%s %s: %s", what, o->args->path, strerror(-err));
}

/* The place */

/* The owner of the directories that were made for it. */
static int own_parents(const struct output *o)
{
	int dir = o->place.at.dir, err = 0;

	for (unsigned n = o->place.at.made; n && !err; n--) {
		int up = openat(dir, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fchownat(dir, "", o->owner->uid, o->owner->gid, AT_EMPTY_PATH) < 0 || up < 0)
			err = -errno;
		if (dir != o->place.at.dir)
			fd_close(&dir);
		dir = up;
	}
	if (dir != o->place.at.dir)
		fd_close(&dir);
	return err;
}

static int find_dir(const struct output_dirs *dirs, const char *path, size_t len)
{
	for (unsigned i = 0; i < MIN(dirs->n, OUTPUT_DIRS); i++) {
		if (dirs->dir[i].len == len && memcmp(dirs->dir[i].path, path, len) == 0)
			return dirs->dir[i].fd;
	}
	return -1;
}

static void keep_dir(struct output_dirs *dirs, const char *path, size_t len, int fd)
{
	unsigned i = dirs->n++ % OUTPUT_DIRS;

	if (dirs->n > OUTPUT_DIRS)
		fd_close(&dirs->dir[i].fd);
	dirs->dir[i].path = path;
	dirs->dir[i].len = len;
	dirs->dir[i].fd = fd;
}

void output_dirs_close(struct output_dirs *dirs)
{
	for (unsigned i = 0; i < MIN(dirs->n, OUTPUT_DIRS); i++)
		fd_close(&dirs->dir[i].fd);
	dirs->n = 0;
}

static int open_place(struct output *o)
{
	const char *path = o->args->path;
	size_t len, front;
	int err, dir;

	front = (size_t)(path_base(path, &len) - path);
	if (path[front + len]) /* a slash behind it: it can but be a directory */
		return -EISDIR;
	dir = o->dirs && len <= NAME_MAX ? find_dir(o->dirs, path, front) : -1;
	if (dir >= 0) {
		o->place = (struct place){.at = {.dir = dir}, .whole = path};
		memcpy(o->place.name, path + front, len);
		return 0;
	}
	err = place_open(&o->place, path, o->args->parents);
	o->own_dir = true;
	if (err == -EBUSY || err == -EINVAL) /* the root, "." and ".." */
		return -EISDIR;
	return err;
}

/* The links */

/*
 * As the kernel has it with fs.protected_symlinks (proc_sys_fs(5)), always: in a directory where
 * everybody may put links, one is followed only by its owner.
 */
static int may_follow(int dir, const struct stat *link)
{
	struct stat st;

	if (link->st_uid == geteuid())
		return 0;
	if (fstat(dir, &st) < 0)
		return -errno;
	if ((st.st_mode & (S_ISVTX | S_IWOTH)) != (S_ISVTX | S_IWOTH) || st.st_uid == link->st_uid)
		return 0;
	return -EACCES;
}

/* The place becomes what the link at LINK says. */
static int follow(struct output *o, int link)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);
	const char *base;
	size_t len;
	int dir;

	if (n <= 0)
		return n < 0 ? -errno : -ENOENT;
	target[n] = '\0';
	base = path_base(target, &len);
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	if (base[len] || strcmp(base, "/") == 0 || strcmp(base, ".") == 0 ||
		strcmp(base, "..") == 0)
		return -EISDIR;
	memcpy(o->place.name, base, len + 1);
	target[base - target] = '\0';
	dir = openat(o->place.at.dir, *target ? target : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return -errno;
	if (o->own_dir)
		path_close(&o->place.at);
	o->own_dir = o->followed = true;
	o->place.at = (struct path){.dir = dir, .name = o->place.name};
	return 0;
}

/* What procfs calls links leads where no path does: the kernel is to follow them. */
static bool is_magic(int dir)
{
	struct statfs fs;

	return fstatfs(dir, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

/* Finds what is at the place, and follows the links that it is.  -EXDEV: a magic one. */
static int resolve(struct output *o)
{
	for (unsigned i = 0; i < MAX_LINKS; i++) {
		cleanup_fd int link = -1;
		int err;

		err = place_stat(&o->place, &o->old);
		o->existed = err == 0;
		if (err || !S_ISLNK(o->old.st_mode))
			return err == -ENOENT ? 0 : err;
		if (o->args->exclusive)
			return -EEXIST;
		if (is_magic(o->place.at.dir))
			return -EXDEV;
		/* From here on it is this link, whatever takes its place. */
		link = openat(o->place.at.dir, o->place.name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (link < 0 || fstat(link, &o->old) < 0)
			return -errno;
		if (!S_ISLNK(o->old.st_mode))
			continue;
		err = may_follow(o->place.at.dir, &o->old);
		if (!err)
			err = follow(o, link);
		if (err)
			return err;
	}
	return -ELOOP;
}

/* In place */

static int set_in_place(struct output *o)
{
	const struct output_args *a = o->args;

	o->place.taken = true;
	if (a->offset != OUTPUT_UNSET && lseek(o->fd, (off_t)a->offset, SEEK_SET) < 0)
		return -errno;
	if (o->owner && fchown(o->fd, o->owner->uid, o->owner->gid) < 0)
		return -errno;
	if (a->mode != OUTPUT_UNSET && fchmod(o->fd, (mode_t)a->mode) < 0)
		return -errno;
	return 0;
}

static int open_in_place(struct output *o, int follow_flag)
{
	const struct output_args *a = o->args;
	int flags = O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | follow_flag;

	o->atomic = false;
	if (!o->existed && a->create)
		flags |= O_CREAT | (a->exclusive ? O_EXCL : 0);
	if (a->append)
		flags |= O_APPEND;
	else if (a->offset == OUTPUT_UNSET)
		flags |= O_TRUNC;
	/* Who has a lease on it is asked to give it up (fcntl(2)), and takes a moment. */
	for (unsigned i = 0; i < LEASE_TRIES; i++) {
		o->fd = openat(o->place.at.dir, o->place.name, flags, NEW_MODE);
		if (o->fd >= 0 || errno != EAGAIN)
			break;
		(void)poll(NULL, 0, LEASE_WAIT_MS);
	}
	return o->fd < 0 ? -errno : set_in_place(o);
}

/* All or nothing */

/* May the user write the old file?  A rename would not ask. */
static int may_write(const struct output *o)
{
	int err;

	if (geteuid() == 0)
		return 0;
	err = (int)sys_raw(SYS_faccessat2, o->place.at.dir, (long)o->place.name, W_OK,
		AT_EACCESS | AT_SYMLINK_NOFOLLOW, 0, 0);
	if (err == -ENOSYS || err == -EPERM) { /* Linux before 5.8, or a filter that is older */
		int fd = openat(o->place.at.dir, o->place.name,
			O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

		err = fd < 0 && errno != ETXTBSY ? -errno : 0;
		fd_close(&fd);
	}
	return err;
}

/* Is something mounted on the old file, so that nothing can take its place? */
static bool is_mounted(const struct output *o)
{
	return sys_is_mount_root(o->place.at.dir, o->place.name);
}

/* Without this, a file that has no name cannot be given one by somebody who is not root. */
static bool can_link(const struct output *o)
{
	if (o->dirs && o->dirs->can_link)
		return true;
	if (access("/proc/self/fd", F_OK) < 0)
		return false;
	if (o->dirs)
		o->dirs->can_link = true;
	return true;
}

static int link_to(const struct output *o, const char *name)
{
	char self[32];

	/* The short way, for who may read everything (open(2)); -ENOENT for others. */
	if (linkat(o->fd, "", o->place.at.dir, name, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != ENOENT && errno != EINVAL)
		return -errno;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", o->fd);
	return linkat(AT_FDCWD, self, o->place.at.dir, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int open_named(struct output *o)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

	do {
		place_new_temp(&o->place);
		o->fd = openat(o->place.at.dir, o->place.temp, flags, 0600);
	} while (o->fd < 0 && (errno == EEXIST || errno == EINTR));
	if (o->fd < 0)
		return -errno;
	o->named = true;
	return 0;
}

static int open_temp(struct output *o)
{
	if (can_link(o)) {
		o->fd = openat(o->place.at.dir, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, NEW_MODE);
		if (o->fd >= 0)
			return 0;
		/* Kernels and file systems that do not know it: open(2). */
		if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)
			return -errno;
	}
	return open_named(o);
}

static void drop_temp(struct output *o)
{
	if (o->named)
		unlinkat(o->place.at.dir, o->place.temp, 0);
	o->named = false;
	fd_close(&o->fd);
	fd_close(&o->old_fd);
}

/* What the old file is to hand on.  An error: this can be done in place only. */
static int take_over(struct output *o)
{
	struct stat st;

	o->old_fd = openat(o->place.at.dir, o->place.name,
		O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
	if (o->old_fd < 0 || fstat(o->old_fd, &o->old) < 0 || fstat(o->fd, &st) < 0)
		return -errno;
	if (o->owner || (st.st_uid == o->old.st_uid && st.st_gid == o->old.st_gid))
		return 0;
	return fchown(o->fd, o->old.st_uid, o->old.st_gid) < 0 ? -errno : 0;
}

/* Is it the directory that forbids a second file, and not the state of the system? */
static bool is_lasting(int err)
{
	return err != -ENOSPC && err != -EDQUOT && err != -EMFILE && err != -ENFILE &&
	       err != -ENOMEM && err != -EIO && err != -EINTR;
}

/* 0, or an error; -EOPNOTSUPP: in place then. */
static int open_atomic(struct output *o)
{
	int err;

	if (o->existed && (!S_ISREG(o->old.st_mode) || is_mounted(o)))
		return -EOPNOTSUPP;
	err = o->existed ? may_write(o) : 0;
	if (err)
		return err;
	err = open_temp(o);
	if (!err && o->existed)
		err = take_over(o);
	if (err && o->existed && is_lasting(err)) {
		drop_temp(o);
		return -EOPNOTSUPP;
	}
	o->atomic = true;
	return err;
}

/* In place, and nothing is there: no look at it beforehand, one system call. */
static bool open_new(struct output *o)
{
	const int flags =
		O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

	o->fd = openat(o->place.at.dir, o->place.name, flags, NEW_MODE);
	return o->fd >= 0;
}

static int open_output(struct output *o)
{
	const struct output_args *a = o->args;
	int err;

	if (!a->atomic && a->create && open_new(o))
		return set_in_place(o);
	err = resolve(o);
	if (err == -EXDEV)
		return open_in_place(o, 0);
	if (err)
		return err;
	if (o->existed && a->exclusive)
		return -EEXIST;
	if (!o->existed && !a->create)
		return -ENOENT;
	if (o->existed && S_ISDIR(o->old.st_mode))
		return -EISDIR;
	err = -EOPNOTSUPP;
	if (a->atomic && !a->append && a->offset == OUTPUT_UNSET)
		err = open_atomic(o);
	return err == -EOPNOTSUPP ? open_in_place(o, O_NOFOLLOW) : err;
}

int output_open(struct output *o, const struct output_args *args, const struct path_owner *owner,
	struct output_dirs *dirs, struct failure *f)
{
	int err;

	*o = (struct output){.args = args, .owner = owner, .dirs = dirs, .fd = -1, .old_fd = -1};
	o->hashed = args->hash || args->sha256;
	if (o->hashed)
		sha256_begin(&o->hash);
	err = open_place(o);
	if (!err && owner && o->place.at.made) {
		err = own_parents(o);
		if (err)
			return fail(o, f, err, "owner", "cannot give away the directory of");
	}
	if (!err)
		err = open_output(o);
	if (err == -ENXIO)
		return fail(o, f, err, "open", "nobody reads at the other end of");
	return err ? fail(o, f, err, "open", "cannot open for writing") : 0;
}

/* Writing */

int output_write(struct output *o, const char *bytes, size_t len, size_t *used, struct failure *f)
{
	uint64_t size = o->args->size;
	ssize_t n;

	if (size != OUTPUT_UNSET && len > size - o->size)
		return failure_set(f, ERR_BAD_PARAMS, NULL, o->args->path,
			"more than the %llu bytes came that size says", (unsigned long long)size);
	do
		n = write(o->fd, bytes, MIN(len, WRITE_MAX));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -EAGAIN : fail(o, f, -errno, "write", "cannot write");
	if (o->hashed)
		sha256_add(&o->hash, bytes, (size_t)n);
	o->size += (uint64_t)n;
	*used += (size_t)n;
	return 0;
}

void output_wait(const struct output *o)
{
	struct pollfd p = {.fd = o->fd, .events = POLLOUT};

	(void)poll(&p, 1, WAIT_MS);
}

int output_feed(struct output *o, struct step *s, const char *bytes, size_t len, size_t *used,
	struct failure *f)
{
	while (*used < len) {
		int err = output_write(o, bytes + *used, len - *used, used, f);

		if (err == -EAGAIN)
			output_wait(o);
		else if (err)
			return err;
		if (*used < len && step_due(s))
			return STEP_MORE;
	}
	return 0;
}

/* The end */

static int check_contents(struct output *o, struct failure *f)
{
	const struct output_args *a = o->args;

	if (o->hashed)
		sha256_hex(&o->hash, o->digest);
	if (a->size != OUTPUT_UNSET && o->size != a->size)
		return failure_set(f, ERR_BAD_PARAMS, NULL, a->path,
			"only %llu of the %llu bytes came that size says",
			(unsigned long long)o->size, (unsigned long long)a->size);
	if (a->sha256 && strcasecmp(a->sha256, o->digest) != 0)
		return failure_set(f, ERR_BAD_PARAMS, NULL, a->path,
			"the sha256 of what came is %s, not what was said", o->digest);
	return 0;
}

static int set_times(const struct output *o)
{
	int64_t us = o->args->mtime_us;
	/* What takes the place of a file has got its times. */
	struct timespec times[2] = {
		{.tv_nsec = o->old_fd < 0 ? UTIME_OMIT : UTIME_NOW}, {.tv_nsec = UTIME_NOW}};

	if (us != INT64_MIN) {
		int64_t s = us / 1000000 - (us % 1000000 < 0);

		times[1].tv_sec = (time_t)s;
		times[1].tv_nsec = (long)(us - s * 1000000) * 1000;
	} else if (o->old_fd < 0) {
		return 0;
	}
	return futimens(o->fd, times) < 0 ? -errno : 0;
}

/* Owner and mode of what takes the place. */
static int set_attributes(struct output *o)
{
	const struct output_args *a = o->args;
	uid_t uid = o->owner ? o->owner->uid : (uid_t)-1;
	gid_t gid = o->owner ? o->owner->gid : (gid_t)-1;

	if (o->old_fd >= 0) {
		unsigned lost;

		attrs_drop_acls(o->fd);
		lost = attrs_copy(o->old_fd, &o->old, o->fd, o->owner ? uid : o->old.st_uid,
			o->owner ? gid : o->old.st_gid);
		/* Attributes that the user may not set would not have outlived a write either. */
		if (lost & (ATTRS_LOST_OWNER | ATTRS_LOST_MODE))
			return -EPERM;
	} else if (o->owner && fchown(o->fd, uid, gid) < 0) {
		return -errno;
	}
	if (a->mode != OUTPUT_UNSET)
		return fchmod(o->fd, (mode_t)a->mode) < 0 ? -errno : 0;
	if (o->named && o->old_fd < 0)
		return fchmod(o->fd, NEW_MODE) < 0 ? -errno : 0;
	return 0;
}

static int publish(struct output *o)
{
	bool exclusive = o->args->exclusive;
	int err;

	if (!o->named) {
		if (!o->existed || exclusive) {
			err = link_to(o, o->place.name);
			if (err != -EEXIST || exclusive) {
				o->place.taken = !err;
				return err;
			}
		}
		do
			place_new_temp(&o->place);
		while ((err = link_to(o, o->place.temp)) == -EEXIST);
		if (err)
			return err;
		o->named = true;
	}
	err = place_publish(&o->place, !exclusive);
	if (!err)
		o->named = false;
	return err;
}

static int sync_dir(const struct output *o)
{
	cleanup_fd int fd = openat(o->place.at.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* Who may not read the directory has done what it can. */
	return fd < 0 || fsync(fd) == 0 ? 0 : -errno;
}

int output_commit(struct output *o, struct failure *f)
{
	const struct output_args *a = o->args;
	int err = check_contents(o, f);

	if (err)
		return err;
	err = o->atomic ? set_attributes(o) : 0;
	if (err)
		return fail(o, f, err, "owner", "cannot set owner and mode of");
	err = set_times(o);
	if (err)
		return fail(o, f, err, "mtime_us", "cannot set the time of");
	/* What cannot be synced, such as a fifo, says EINVAL (fsync(2)). */
	if (a->sync && fsync(o->fd) < 0 && errno != EINVAL && errno != EROFS)
		return fail(o, f, -errno, "sync", "cannot bring to the disk");
	if (o->atomic) {
		err = publish(o);
		if (err)
			return fail(o, f, err, "rename", "cannot put into its place");
		err = a->sync ? sync_dir(o) : 0;
		if (err)
			return fail(o, f, err, "sync", "cannot bring to the disk the name of");
	}
	/* Some file systems tell of a failed write only now (close(2)). */
	if (close(take_fd(&o->fd)) < 0 && errno != EINTR)
		return fail(o, f, -errno, "close", "cannot write");
	return 0;
}

void output_close(struct output *o)
{
	drop_temp(o);
	if (!o->own_dir)
		return;
	if (o->dirs && o->place.taken && !o->followed) {
		size_t len;
		const char *path = o->args->path;

		keep_dir(o->dirs, path, (size_t)(path_base(path, &len) - path),
			take_fd(&o->place.at.dir));
	} else {
		place_close(&o->place);
	}
	o->own_dir = false;
}

int output_finish(struct output *o, struct work *w)
{
	int err = output_commit(o, &w->failure);

	if (err)
		return err;
	enc_map_end(&w->result, enc_map_begin(&w->result), o->hashed ? 3 : 2);
	enc_kv_uint(&w->result, "size", o->size);
	enc_kv_bool(&w->result, "atomic", o->atomic);
	if (o->hashed)
		enc_kv_str(&w->result, "sha256", o->digest);
	return 0;
}
