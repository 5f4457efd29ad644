/* tar/extract.c - the entries of an archive, made below a directory */
#include "tar/extract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/attrs.h"
#include "fs/place.h"
#include "proto/limits.h"
#include "tar/attrs.h"

/* Names of our own, until one is free. */
#define TEMP_TRIES 10

/* What the entry has against it: ERR, and a sentence that begins with where. */
static int refuse(struct extract *x, struct failure *f, int err, const char *stage, const char *fmt,
	...) PRINTF(5, 6);

static int refuse(
	struct extract *x, struct failure *f, int err, const char *stage, const char *fmt, ...)
{
	char what[180];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return failure_set(f, err, stage, x->entry->path, "entry %llu, %.60s: %s%s%s",
		(unsigned long long)x->reader->entries, x->reader->last, what, err < 0 ? ": " : "",
		err < 0 ? strerror(-err) : "");
}

static int failed(struct extract *x, struct failure *f, int err, const char *what)
{
	return refuse(x, f, err, "write", "%s", what);
}

/* -- names ------------------------------------------------------------------------------------- */

static int check_name(
	struct extract *x, enum below_clean clean, const char *what, struct failure *f)
{
	if (clean == BELOW_ABSOLUTE)
		return refuse(x, f, ERR_BAD_PARAMS, "refuse", "%s is absolute", what);
	if (clean == BELOW_DOTDOT)
		return refuse(x, f, ERR_BAD_PARAMS, "refuse", "%s has .. in it", what);
	return 0;
}

static int check_symlink(struct extract *x, struct failure *f)
{
	const struct tar_entry *e = x->entry;

	if (!*e->target)
		return refuse(x, f, ERR_BAD_PARAMS, "refuse", "a symbolic link to nothing");
	if (x->how->keep_links || below_is_inside(e->target, x->clean, x->how->path))
		return 0;
	return refuse(x, f, ERR_BAD_PARAMS, "refuse",
		"a symbolic link that leads outside, to %.50s, or may (links: \"keep\" takes it as it is)",
		e->target);
}

static int check_hardlink(struct extract *x, struct failure *f)
{
	enum below_clean clean =
		below_clean(x->entry->target, (size_t)x->how->strip, x->clean_target);
	int err = check_name(x, clean, "the target of the hard link", f);

	if (!err && (clean == BELOW_STRIPPED || !*x->clean_target))
		err = refuse(x, f, ERR_BAD_PARAMS, "refuse", "a hard link to what was stripped");
	return err;
}

static int check(struct extract *x, struct failure *f)
{
	const struct tar_entry *e = x->entry;

	if ((e->type == TAR_CHAR || e->type == TAR_BLOCK) && !x->how->devices)
		return refuse(x, f, ERR_BAD_PARAMS, "refuse", "a device (devices: true takes it)");
	if (e->uid >= UINT32_MAX || e->gid >= UINT32_MAX)
		return refuse(x, f, ERR_BAD_PARAMS, "refuse", "its owner has no valid number");
	if (!*x->clean && e->type != TAR_DIR)
		return refuse(x, f, ERR_BAD_PARAMS, "refuse", "it has no name");
	if (e->type == TAR_SYMLINK)
		return check_symlink(x, f);
	return e->type == TAR_HARDLINK ? check_hardlink(x, f) : 0;
}

/* The directory that B resolved PATH's to, or what was in the way. */
static int open_dir(struct extract *x, struct below *b, const char *path, bool make, int *out,
	char name[NAME_MAX + 1], struct failure *f)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash ? slash + 1 : path;

	if (strlen(base) > NAME_MAX)
		return failed(x, f, -ENAMETOOLONG, "cannot make it");
	snprintf(name, NAME_MAX + 1, "%s", base);
	*out = below_dir(b, path, slash ? (size_t)(slash - path) : 0, make);
	if (*out == -ELOOP)
		return refuse(x, f, ERR_BAD_PARAMS, "refuse",
			"%.*s is a symbolic link: nothing is written through it",
			(int)MIN(b->link_len, 80), path);
	return *out < 0 ? failed(x, f, *out, "cannot open its directory") : 0;
}

/* -- making it --------------------------------------------------------------------------------- */

static int make_link(struct extract *x, const char *name, struct failure *f)
{
	char target[NAME_MAX + 1];
	int dir = -1, err = open_dir(x, &x->links, x->clean_target, false, &dir, target, f);

	if (err)
		return err;
	return linkat(dir, target, x->dir, name, 0) < 0 ? -errno : 0;
}

/* Under NAME, which nothing has.  0, -errno, or f->err with F filled. */
static int make(struct extract *x, const char *name, struct failure *f)
{
	const struct tar_entry *e = x->entry;
	int done = 0;

	switch (e->type) {
	case TAR_FILE:
		x->fd = openat(x->dir, name,
			O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600);
		done = x->fd;
		break;
	case TAR_HARDLINK:
		return make_link(x, name, f);
	case TAR_SYMLINK:
		done = symlinkat(e->target, x->dir, name);
		break;
	case TAR_CHAR:
	case TAR_BLOCK:
		done = mknodat(x->dir, name, (e->type == TAR_CHAR ? S_IFCHR : S_IFBLK) | 0600,
			makedev(e->major, e->minor));
		break;
	case TAR_FIFO:
		done = mknodat(x->dir, name, S_IFIFO | 0600, 0);
		break;
	case TAR_DIR:
		done = mkdirat(x->dir, name, (e->mode & 0777) | 0700);
		break;
	}
	return done < 0 ? -errno : 0;
}

/* Beside what has its name: in its place it is when it is complete. */
static int make_beside(struct extract *x, struct failure *f)
{
	struct place names; /* only for its names */
	struct stat st;
	int err = -EEXIST;

	if (fstatat(x->dir, x->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
		return -EISDIR;
	for (unsigned i = 0; err == -EEXIST && i < TEMP_TRIES; i++) {
		place_new_temp(&names);
		err = make(x, names.temp, f);
	}
	if (!err) {
		x->replaces = true;
		snprintf(x->temp, sizeof(x->temp), "%s", names.temp);
	}
	return err;
}

static const char *made_name(const struct extract *x)
{
	return x->replaces ? x->temp : x->name;
}

static int make_file(struct extract *x, struct failure *f)
{
	int err = make(x, x->name, f);

	if (err == -EEXIST && x->how->overwrite)
		err = make_beside(x, f);
	if (err && err == f->err)
		return err;
	if (err)
		return failed(x, f, err, err == -EEXIST ? "it is there" : "cannot make it");
	x->made = true;
	return 0;
}

/* Something has its name: fine, if it is a directory. */
static int make_dir_there(struct extract *x, struct failure *f)
{
	struct stat st;
	int err;

	if (fstatat(x->dir, x->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(x, f, -errno, "cannot make it");
	if (S_ISDIR(st.st_mode)) {
		x->existed = true;
		return 0;
	}
	if (!x->how->overwrite)
		return failed(x, f, -EEXIST, "it is there, and no directory");
	if (S_ISLNK(st.st_mode))
		return refuse(x, f, ERR_BAD_PARAMS, "refuse",
			"a symbolic link is there: no directory takes its place");
	if (unlinkat(x->dir, x->name, 0) < 0)
		return failed(x, f, -errno, "cannot replace what is there");
	err = make(x, x->name, f);
	return err ? failed(x, f, err, "cannot make it") : 0;
}

/* -- directories ------------------------------------------------------------------------------- */

static int lose(struct extract *x, unsigned what)
{
	x->lost |= what;
	return 0;
}

/* Its owner and attributes now; its mode and times at the end. */
static int fill_dir(struct extract *x, int fd, struct failure *f)
{
	mode_t mode = 0;
	struct timespec times[2];
	int err;

	if (!x->existed)
		attrs_drop_acls(fd);
	err = attrs_apply(x, fd, &mode);
	if (err)
		return failed(x, f, err, "cannot change its owner");
	attrs_times(x->entry, times);
	err = late_add(&x->late, x->clean, mode, times);
	if (err == ERR_LIMIT)
		return refuse(x, f, err, "write",
			"no memory is left for the times of more directories (import_directories)");
	return err ? failed(x, f, err, "cannot note its times") : 0;
}

static int make_dir(struct extract *x, struct failure *f)
{
	int fd, err = make(x, x->name, f);

	if (err == -EEXIST)
		err = make_dir_there(x, f);
	else if (err)
		err = failed(x, f, err, "cannot make it");
	if (err || (x->existed && !x->how->overwrite))
		return err;
	fd = openat(x->dir, x->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && x->existed) /* the user may not read it, and so not change it this way */
		return lose(x, ATTRS_LOST_MODE | ATTRS_LOST_TIMES);
	if (fd < 0)
		return failed(x, f, -errno, "cannot open it");
	err = fill_dir(x, fd, f);
	close(fd);
	return err;
}

static int root_entry(struct extract *x, struct failure *f)
{
	int fd, err;

	if (x->how->keep_root)
		return 0;
	fd = openat(x->below.root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return lose(x, ATTRS_LOST_MODE | ATTRS_LOST_TIMES);
	x->existed = true;
	err = fill_dir(x, fd, f);
	close(fd);
	return err;
}

/* -- an entry ---------------------------------------------------------------------------------- */

int extract_begin(struct extract *x, int root, const struct extract_how *how, struct failure *f)
{
	int again = fcntl(root, F_DUPFD_CLOEXEC, 0), err = again < 0 ? -errno : 0;

	*x = (struct extract){.how = how, .fd = -1};
	below_begin(&x->below, root);
	below_begin(&x->links, again);
	x->below.owner = how->owner;
	x->clean = malloc(TAR_NAME_MAX + 1);
	x->clean_target = malloc(TAR_NAME_MAX + 1);
	if (!err && (!x->clean || !x->clean_target))
		err = -ENOMEM;
	return err ? failure_set(f, err, "write", how->path, "cannot begin: %s", strerror(-err))
		   : 0;
}

int extract_entry(struct extract *x, struct tar_reader *r, struct failure *f)
{
	const struct tar_entry *e = &r->entry;
	enum below_clean clean;
	int err;

	x->reader = r;
	x->entry = e;
	x->made = x->replaces = x->existed = false;
	x->end = 0;
	f->err = 0;
	clean = below_clean(e->path, (size_t)x->how->strip, x->clean);
	x->path = clean == BELOW_STRIPPED ? NULL : x->clean;
	err = check_name(x, clean, "its name", f);
	if (err)
		return err;
	if (clean == BELOW_STRIPPED) {
		x->stripped++;
		return 0;
	}
	err = check(x, f);
	if (err)
		return err;
	if (!*x->clean)
		return root_entry(x, f);
	err = open_dir(x, &x->below, x->clean, true, &x->dir, x->name, f);
	if (err)
		return err;
	return e->type == TAR_DIR ? make_dir(x, f) : make_file(x, f);
}

int extract_data(struct extract *x, uint64_t at, const char *bytes, size_t len, struct failure *f)
{
	while (len && x->fd >= 0) {
		ssize_t n = pwrite(x->fd, bytes, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(x, f, -errno, "cannot write it");
		bytes += n;
		len -= (size_t)n;
		at += (uint64_t)n;
		x->end = at;
	}
	return 0;
}

static int complete(struct extract *x, struct failure *f)
{
	const struct tar_entry *e = x->entry;
	int err;

	if (e->type == TAR_HARDLINK)
		return 0;
	/* A hole at the end. */
	if (x->fd >= 0 && x->end < e->size && ftruncate(x->fd, (off_t)e->size) < 0)
		return failed(x, f, -errno, "cannot make it that long");
	err = x->fd >= 0 ? attrs_apply_file(x, x->fd) : attrs_apply_at(x, x->dir, made_name(x));
	return err ? failed(x, f, err, "cannot change its owner") : 0;
}

/* In the place of what is there. */
static int take_place(struct extract *x, struct failure *f)
{
	if (!x->replaces)
		return 0;
	if (renameat(x->dir, x->temp, x->dir, x->name) < 0)
		return failed(x, f, -errno, "cannot replace what is there");
	/* Two names of one file: rename(2) leaves both. */
	if (x->entry->type == TAR_HARDLINK)
		(void)unlinkat(x->dir, x->temp, 0);
	return 0;
}

int extract_done(struct extract *x, struct failure *f)
{
	int err;

	if (!x->path)
		return 0;
	if (!x->made) /* a directory */
		return 0;
	err = complete(x, f);
	if (!err)
		err = take_place(x, f);
	if (err)
		return err;
	/* Some file systems tell only now that it did not fit. */
	if (x->fd >= 0 && close(take_fd(&x->fd)) < 0 && errno != EINTR)
		return failed(x, f, -errno, "cannot write it");
	x->made = false;
	x->files++;
	x->bytes += x->entry->size;
	return 0;
}

int extract_finish(struct extract *x, bool (*stop)(const void *ctx), const void *ctx)
{
	int err = late_apply(&x->late, &x->below, stop, ctx);

	x->lost |= x->late.lost;
	return err;
}

/* Removes what is not complete, unless somebody has put something else there. */
static void remove_half(struct extract *x)
{
	struct stat st, made;

	if (x->fd >= 0 && (fstat(x->fd, &made) < 0 ||
				  fstatat(x->dir, made_name(x), &st, AT_SYMLINK_NOFOLLOW) < 0 ||
				  st.st_ino != made.st_ino || st.st_dev != made.st_dev))
		return;
	(void)unlinkat(x->dir, made_name(x), 0);
}

void extract_end(struct extract *x)
{
	if (x->made)
		remove_half(x);
	fd_close(&x->fd);
	below_end(&x->below);
	below_end(&x->links);
	late_fini(&x->late);
	if (x->users)
		users_release(x->users);
	free(x->clean);
	free(x->clean_target);
}
