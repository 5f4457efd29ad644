/* fs/clone.c - a copy of a file or a tree, with all that it has */
#include "fs/clone.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/attrs.h"
#include "fs/mode.h"
#include "fs/place.h"

/* A fifo without a writer, a terminal: opening never waits, nor has effects of its own. */
#define OPEN_FILE (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
#define OPEN_DIR  (O_RDONLY | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC)
#define MAKE_FILE (O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC)

static const struct {
	unsigned bit;
	const char *name;
} losses[] = {
	{ATTRS_LOST_OWNER, "owner"},
	{ATTRS_LOST_MODE, "mode"},
	{ATTRS_LOST_TIMES, "times"},
	{ATTRS_LOST_XATTRS, "xattrs"},
	{CLONE_LOST_LINKS, "links"},
};

static bool canceled(const void *ctx)
{
	return work_canceled(ctx);
}

static int unread(struct clone *c, int err)
{
	c->unread = true;
	return err;
}

static uid_t uid_for(const struct clone *c, const struct stat *st)
{
	return c->w->has_owner ? c->w->uid : st->st_uid;
}

static gid_t gid_for(const struct clone *c, const struct stat *st)
{
	return c->w->has_owner ? c->w->gid : st->st_gid;
}

/* Hard links: the first copy of each such file has a second name in a directory of ours. */

static void links_key(const struct stat *st, char key[48])
{
	snprintf(key, 48, "%llx-%llx", (unsigned long long)st->st_dev,
		(unsigned long long)st->st_ino);
}

static int links_open(struct clone *c)
{
	struct place names;

	do {
		place_new_temp(&names);
		if (mkdirat(c->root_out, names.temp, 0700) == 0) {
			memcpy(c->links_name, names.temp, sizeof(c->links_name));
			c->links = openat(c->root_out, c->links_name, OPEN_DIR);
			return c->links < 0 ? -errno : 0;
		}
	} while (errno == EEXIST);
	return -errno;
}

static bool is_shared(const struct clone *c, const struct stat *st)
{
	return c->tree && st->st_nlink > 1;
}

/* 1: NAME is a link to the copy that there is; 0: there is none; or -errno. */
static int links_find(struct clone *c, const struct stat *st, const char *name)
{
	char key[48];
	int err = c->links < 0 ? links_open(c) : 0;

	if (err)
		return err;
	links_key(st, key);
	if (linkat(c->links, key, c->dive.fd, name, 0) == 0)
		return 1;
	/* Whatever else: it becomes a file of its own, and links_add tells. */
	return errno == ENOSPC || errno == EDQUOT ? -errno : 0;
}

static int links_add(struct clone *c, const struct stat *st, const char *name)
{
	char key[48];

	links_key(st, key);
	if (linkat(c->dive.fd, name, c->links, key, 0) == 0)
		return 0;
	if (errno == ENOSPC || errno == EDQUOT)
		return -errno;
	c->lost |= CLONE_LOST_LINKS;
	return 0;
}

/* One file */

static int to_dir(const struct clone *c)
{
	return c->tree ? c->dive.fd : c->to_dir;
}

/* It is there. */
static int made(struct clone *c, const struct stat *st, const char *name)
{
	c->files++;
	return is_shared(c, st) ? links_add(c, st, name) : 0;
}

static int begin_file(struct clone *c, int dir, const char *from, const char *name)
{
	c->in = openat(dir, from, OPEN_FILE);
	if (c->in < 0 || fstat(c->in, &c->st) < 0)
		return unread(c, -errno);
	if (!S_ISREG(c->st.st_mode)) /* since a moment: as if it was not there */
		return unread(c, -ENOENT);
	c->out = openat(to_dir(c), name, MAKE_FILE, 0600);
	if (c->out < 0)
		return -errno;
	snprintf(c->name, sizeof(c->name), "%s", name);
	if (!c->tree)
		attrs_drop_acls(c->out);
	content_begin(&c->content, c->in, c->out, &c->st);
	return 0;
}

static int end_file(struct clone *c)
{
	int out, err = 0;

	c->lost |= attrs_copy(c->in, &c->st, c->out, uid_for(c, &c->st), gid_for(c, &c->st));
	fd_close(&c->in);
	out = take_fd(&c->out);
	if (close(out) < 0) /* some file systems tell only now that there was no room */
		err = -errno;
	if (!err)
		err = made(c, &c->st, c->name);
	c->bytes += c->content.pos;
	return err;
}

/* Nothing is left of the file that is copied now. */
static void drop_file(struct clone *c)
{
	fd_close(&c->in);
	if (c->out >= 0)
		unlinkat(to_dir(c), c->name, 0);
	fd_close(&c->out);
}

static int copy_link(struct clone *c, int dir, const char *from, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dir, from, target, sizeof(target) - 1);

	if (n < 0)
		return unread(c, -errno);
	target[n] = '\0';
	return symlinkat(target, to_dir(c), name) < 0 ? -errno : 0;
}

static int copy_node(struct clone *c, const struct stat *st, const char *name)
{
	if (mknodat(to_dir(c), name, (st->st_mode & S_IFMT) | 0600, st->st_rdev) == 0)
		return 0;
	/* Who may not make devices leaves them out. */
	return errno == EPERM ? unread(c, -EPERM) : -errno;
}

/* All but directories; a file is only begun. */
static int begin_one(
	struct clone *c, int dir, const char *from, const struct stat *st, const char *name)
{
	int err = is_shared(c, st) ? links_find(c, st, name) : 0;

	if (err < 0)
		return err;
	if (err) {
		c->files++;
		return 0;
	}
	if (S_ISREG(st->st_mode))
		return begin_file(c, dir, from, name);
	err = S_ISLNK(st->st_mode) ? copy_link(c, dir, from, name) : copy_node(c, st, name);
	if (err)
		return err;
	c->lost |= attrs_copy_at(dir, from, st, to_dir(c), name, uid_for(c, st), gid_for(c, st));
	return made(c, st, name);
}

/* Trees */

/* ERR came of the original at hand, or of its copy.  STEP_MORE where it goes on without it. */
static int skip_or_fail(struct clone *c, int err)
{
	const char *path = c->path;
	bool skip = c->unread && c->tree && (!c->strict || err == -ENOENT);

	c->unread = false;
	drop_file(c);
	if (!skip || err == -ECANCELED)
		return work_fail(
			c->w, err, path, "cannot copy %s%s", path, c->itself ? " into itself" : "");
	if (err != -ENOENT) /* what is gone was never there */
		skipped_add(&c->skipped, path, err);
	return STEP_MORE;
}

static int enter_dir(struct clone *c, const char *name, const struct stat *st)
{
	/* Seen before only where no mount hides it. */
	c->itself = st->st_dev == c->root_made.st_dev && st->st_ino == c->root_made.st_ino;
	if (c->itself)
		return -EINVAL;
	if (mkdirat(c->dive.fd, name, 0700) < 0)
		return -errno;
	return dive_enter(&c->dive, name);
}

static int on_entry(struct clone *c, const struct fs_walk_item *item)
{
	struct stat st;

	if (fstatat(item->dir, item->name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0) {
		int err = unread(c, -errno);

		fs_walk_skip(&c->walk);
		return err;
	}
	if (S_ISDIR(st.st_mode) && item->type == DT_DIR)
		return enter_dir(c, item->name, &st);
	fs_walk_skip(&c->walk);
	if (S_ISDIR(st.st_mode)) /* since a moment: as if it came behind us */
		return unread(c, -ENOENT);
	return begin_one(c, item->dir, item->name, &st, item->name);
}

/* Up to where DEPTH is: more than one where the walk lost its way. */
static int leave_to(struct clone *c, size_t depth)
{
	int err = 0;

	while (!err && c->dive.depth > depth)
		err = dive_leave(&c->dive);
	return err;
}

/* All in the directory is copied. */
static int on_leave(struct clone *c, const struct fs_walk_item *item)
{
	cleanup_fd int in = openat(item->dir, item->name, OPEN_DIR);
	cleanup_fd int out = -1;
	bool empty = in < 0;
	struct stat st;
	int err = 0;

	if (in >= 0 && fstat(in, &st) == 0) {
		out = fcntl(c->dive.fd, F_DUPFD_CLOEXEC, 0);
		if (out < 0)
			return -errno;
	}
	err = leave_to(c, item->depth - 1);
	if (err)
		return err;
	/* It could not be read, which was told, or is gone: then nothing was copied of it. */
	if (empty)
		unlinkat(c->dive.fd, item->name, AT_REMOVEDIR);
	else if (out >= 0)
		c->lost |= attrs_copy(in, &st, out, uid_for(c, &st), gid_for(c, &st));
	return 0;
}

static int end_tree(struct clone *c)
{
	const struct stat *st = &c->root;
	struct fs_walk walk = {0};
	struct fs_walk_item item;
	int err = leave_to(c, 0), fd;

	if (err || c->links < 0)
		goto out;
	fd = take_fd(&c->links);
	err = fs_walk_start_fd(&walk, fd, "", canceled, c->w);
	while (err >= 0 && (err = fs_walk_next(&walk, &item)) > 0) {
		if (item.what == FS_WALK_ENTRY && unlinkat(item.dir, item.name, 0) < 0)
			err = -errno;
	}
	fs_walk_fini(&walk);
	if (!err && unlinkat(c->root_out, c->links_name, AT_REMOVEDIR) < 0)
		err = -errno;
out:
	if (err)
		return err;
	c->lost |= attrs_copy(c->root_in, st, c->root_out, uid_for(c, st), gid_for(c, st));
	return 0;
}

static int tree_step(struct clone *c)
{
	struct fs_walk_item item;
	int more = fs_walk_next(&c->walk, &item), err = 0;

	if (more < 0)
		return more;
	if (!more) {
		err = end_tree(c);
		return err ? work_fail(c->w, err, c->root_path, "cannot finish the copy of %s",
				     c->root_path)
			   : 0;
	}
	c->path = item.path;
	switch (item.what) {
	case FS_WALK_ENTRY:
		err = leave_to(c, item.depth - 1);
		if (!err)
			err = on_entry(c, &item);
		break;
	case FS_WALK_LEAVE:
		err = on_leave(c, &item);
		break;
	case FS_WALK_FAILED:
		err = unread(c, item.err);
		break;
	}
	return err ? skip_or_fail(c, err) : STEP_MORE;
}

static int begin_tree(struct clone *c, const struct path *from, const char *name)
{
	int in, out, err;

	c->root_in = openat(from->dir, from->name, OPEN_DIR);
	if (c->root_in < 0 || fstat(c->root_in, &c->root) < 0)
		return -errno;
	if (mkdirat(c->to_dir, name, 0700) < 0)
		return -errno;
	c->root_out = openat(c->to_dir, name, OPEN_DIR);
	if (c->root_out < 0 || fstat(c->root_out, &c->root_made) < 0)
		return -errno;
	/* Put there by somebody else in between: what we write into it would be theirs. */
	if (c->root_made.st_uid != geteuid() || c->root_made.st_mode & 077)
		return -ESTALE;
	attrs_drop_acls(c->root_out);
	out = fcntl(c->root_out, F_DUPFD_CLOEXEC, 0);
	if (out < 0)
		return -errno;
	err = dive_start(&c->dive, out);
	if (err)
		return err;
	in = fcntl(c->root_in, F_DUPFD_CLOEXEC, 0);
	return in < 0 ? -errno : fs_walk_start_fd(&c->walk, in, c->root_path, canceled, c->w);
}

void clone_init(struct clone *c, struct work *w)
{
	*c = (struct clone){
		.w = w,
		.in = -1,
		.out = -1,
		.root_in = -1,
		.root_out = -1,
		.links = -1,
		.dive = {.fd = -1},
	};
	skipped_begin(&c->skipped, w);
}

int clone_begin(struct clone *c, const struct path *from, const char *path, const struct stat *st,
	int to_dir_fd, const char *name)
{
	int err;

	c->path = c->root_path = path;
	c->to_dir = to_dir_fd;
	c->tree = S_ISDIR(st->st_mode);
	err = c->tree ? begin_tree(c, from, name) : begin_one(c, from->dir, from->name, st, name);
	if (err)
		return work_fail(c->w, err, path, "cannot copy %s", path);
	return 0;
}

int clone_step(struct clone *c, struct step *s)
{
	int err;

	do {
		if (c->in >= 0) {
			err = content_step(&c->content);
			c->unread = c->content.in_failed;
			if (!err)
				err = end_file(c);
			err = err < 0 ? skip_or_fail(c, err) : STEP_MORE;
		} else {
			err = c->tree ? tree_step(c) : 0;
		}
	} while (err == STEP_MORE && !step_due(s));
	return err;
}

size_t clone_encode_lost(const struct clone *c, struct enc *e)
{
	size_t mark, n = 0;

	if (!c->lost)
		return 0;
	enc_str(e, "lost");
	mark = enc_array_begin(e);
	for (size_t i = 0; i < ARRAY_LEN(losses); i++) {
		if (c->lost & losses[i].bit) {
			enc_str(e, losses[i].name);
			n++;
		}
	}
	enc_array_end(e, mark, n);
	return 1;
}

void clone_fini(struct clone *c)
{
	fd_close(&c->in);
	fd_close(&c->out);
	fd_close(&c->links);
	fd_close(&c->root_in);
	fd_close(&c->root_out);
	fs_walk_fini(&c->walk);
	dive_fini(&c->dive);
	skipped_fini(&c->skipped);
}

int clone_remove_item(const struct fs_walk_item *item)
{
	bool dir = item->what == FS_WALK_LEAVE;

	if (item->what == FS_WALK_FAILED)
		return item->err;
	if (!dir && item->type == DT_DIR)
		return 0;
	return unlinkat(item->dir, item->name, dir ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT
		       ? -errno
		       : 0;
}

void clone_remove(int dir, const char *name)
{
	bool user = geteuid() != 0; /* root needs no bits */
	struct fs_walk walk = {0};
	struct fs_walk_item item;
	int fd;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return;
	if (user)
		(void)!mode_set(dir, name, 0700);
	fd = openat(dir, name, OPEN_DIR);
	if (fd < 0)
		return;
	if (fs_walk_start_fd(&walk, fd, "", NULL, NULL) == 0) {
		while (fs_walk_next(&walk, &item) > 0) {
			if (user && item.what == FS_WALK_ENTRY && item.type == DT_DIR)
				(void)!mode_set(item.dir, item.name, 0700);
			(void)!clone_remove_item(&item);
		}
	}
	fs_walk_fini(&walk);
	unlinkat(dir, name, AT_REMOVEDIR);
}
