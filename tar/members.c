/* tar/members.c - what an archive is made of */
#include "tar/members.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/glob.h"

static const char *check_path(const char *value)
{
	size_t len;

	for (const char *p = value; *p; p += len) {
		p += strspn(p, "/");
		len = strcspn(p, "/");
		if ((len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
			return "without . and .. in it";
	}
	return arg_abs_path(value);
}

const struct arg members_table[] = {
	ARG(struct members_args, path, .check = check_path),
	ARG(struct members_args, paths),
	ARG(struct members_args, ignore),
	ARG_END,
};

static bool canceled(const void *ctx)
{
	return work_canceled(ctx);
}

/* Of PATH, the part up to and with the component at AT: where it ends.  AT points behind slashes. */
static const char *component_end(const char *at)
{
	return at + strcspn(at, "/");
}

static const char *skip_slashes(const char *p)
{
	return p + strspn(p, "/");
}

/* What of PATH lies below BASE (LEN bytes): "" is BASE itself, NULL: it is elsewhere. */
static const char *below(const char *path, const char *base, size_t len)
{
	const char *p = skip_slashes(path), *b = base;

	for (;;) {
		const char *end;
		size_t n;

		b = skip_slashes(b);
		if (b >= base + len || !*b)
			return p;
		end = component_end(b);
		n = (size_t)(end - b);
		if (strncmp(p, b, n) != 0 || (p[n] && p[n] != '/'))
			return NULL;
		p = skip_slashes(p + n);
		b = end;
	}
}

/* How much of PATH is the directory that it is in. */
static size_t dir_len(const char *path)
{
	size_t base_len;

	return (size_t)(path_base(path, &base_len) - path);
}

/* How much of the first LEN bytes of ONE both have in common: whole components. */
static size_t common(const char *one, size_t len, const char *other, size_t other_len)
{
	const char *end = one;

	for (const char *p = skip_slashes(one); p < one + len; p = skip_slashes(p)) {
		const char *next = component_end(p);
		const char *rest;

		rest = below(other, one, (size_t)(next - one));
		if (!rest || rest > other + other_len)
			break;
		end = p = next;
	}
	return (size_t)(end - one);
}

static int is_dir(const char *path, bool *dir)
{
	struct stat st;
	struct path p;
	int err = path_open(path, &p);

	if (!err && fstatat(p.dir, p.name, &st, 0) < 0)
		err = -errno;
	path_close(&p);
	*dir = !err && S_ISDIR(st.st_mode);
	return err;
}

static int find_base(struct members *t, const char *base, bool one_is_dir)
{
	size_t len;

	if (base || (t->n_roots == 1 && one_is_dir)) {
		t->base = base ? base : t->root[0];
		t->base_len = strlen(t->base);
		return 0;
	}
	len = dir_len(t->root[0]);
	for (size_t i = 1; i < t->n_roots; i++)
		len = common(t->root[0], len, t->root[i], dir_len(t->root[i]));
	t->base = t->root[0];
	t->base_len = len;
	return 0;
}

/* All that can be wrong with the parameters. */
static int check(struct members *t, const char *base)
{
	struct failure *f = &t->w->failure;
	bool dir = false;
	int err;

	for (size_t i = 0; i < t->n_roots; i++) {
		const char *why = check_path(t->root[i]), *member;

		if (why)
			return failure_set(f, ERR_BAD_PARAMS, NULL, t->root[i],
				"paths: %.150s must be a path %s", t->root[i], why);
		err = is_dir(t->root[i], &dir);
		if (err)
			return work_fail(t->w, err, t->root[i], "cannot look at %s", t->root[i]);
		member = base ? below(t->root[i], base, strlen(base)) : "x";
		if (!member || (!*member && !dir))
			return failure_set(f, ERR_BAD_PARAMS, NULL, t->root[i],
				"%.100s is not below base, %.80s", t->root[i], base);
	}
	return find_base(t, base, dir);
}

int members_begin(struct members *t, struct work *w, const struct members_args *args,
	const char *base, bool one_file_system)
{
	int err = glob_check(&args->ignore, "ignore", &w->failure);

	t->w = w;
	t->args = args;
	t->one_file_system = one_file_system;
	t->fd = -1;
	if (err)
		return err;
	if (!args->path == !args->paths.at)
		return failure_set(&w->failure, ERR_BAD_PARAMS, NULL, NULL,
			"one of path and paths is to be given");
	t->root = args->path ? &args->path : (const char *const *)args->paths.at;
	t->n_roots = args->path ? 1 : args->paths.n;
	if (!t->n_roots)
		return failure_set(
			&w->failure, ERR_BAD_PARAMS, NULL, NULL, "paths: there is none in it");
	return check(t, base);
}

static void close_root(struct members *t)
{
	fs_walk_fini(&t->walk);
	t->walk = (struct fs_walk){0};
	t->walking = false;
	fd_close(&t->fd);
	if (t->open)
		path_close(&t->path);
	t->open = false;
	free(t->root_name);
	t->root_name = NULL;
}

static int tell_failed(struct members_item *item, const char *path, int err)
{
	*item = (struct members_item){.err = err, .path = path, .dir = -1};
	return 1;
}

static int fail_root(struct members *t, const char *root, int err, struct members_item *item)
{
	close_root(t);
	/* Of several one that has gone meanwhile leaves the others. */
	if (t->n_roots > 1)
		return tell_failed(item, root, err);
	return work_fail(t->w, err, root, "cannot read %s", root);
}

/* Opens the next path that was given; 1 with ITEM filled where it is an entry itself, 0, or an error. */
static int open_root(struct members *t, struct members_item *item)
{
	const char *root = t->root[t->next_root++], *member = below(root, t->base, t->base_len);
	size_t len = strlen(member);
	struct stat st;
	int err = path_open(root, &t->path);

	t->open = true;
	if (!err && fstatat(t->path.dir, t->path.name, &st, 0) < 0)
		err = -errno;
	if (!err && S_ISDIR(st.st_mode)) {
		t->fd = openat(
			t->path.dir, t->path.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
		err = t->fd < 0 || fstat(t->fd, &st) < 0 ? -errno : 0;
	}
	if (err)
		return fail_root(t, root, err, item);
	t->dev = st.st_dev;
	if (!len)
		return 0;
	t->root_name = strdup(member);
	if (!t->root_name)
		return fail_root(t, root, -ENOMEM, item);
	while (len && t->root_name[len - 1] == '/')
		t->root_name[--len] = '\0';
	*item = (struct members_item){
		.dir = t->fd >= 0 ? t->fd : t->path.dir,
		.name = t->fd >= 0 ? "." : t->path.name,
		.path = root,
		.member = t->root_name,
		.type = IFTODT(st.st_mode),
	};
	return 1;
}

/* Is another file system mounted there? */
static bool is_elsewhere(const struct members *t, const struct fs_walk_item *item)
{
	struct stat st;

	return fstatat(item->dir, item->name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0 &&
	       st.st_dev != t->dev;
}

static const char *member_of(const struct members *t, const struct fs_walk_item *item)
{
	return below(item->path, t->base, t->base_len);
}

/* 1 with ITEM filled, 0 at the end of this path, or an error. */
static int next_below(struct members *t, struct members_item *item)
{
	const char *root = t->root[t->next_root - 1];
	struct fs_walk_item found;
	int more;

	while ((more = fs_walk_next(&t->walk, &found)) > 0) {
		if (found.what == FS_WALK_LEAVE)
			continue;
		if (found.what == FS_WALK_FAILED && found.depth == 0 && t->n_roots == 1)
			return work_fail(t->w, found.err, root, "cannot read %s", root);
		if (found.what == FS_WALK_FAILED)
			return tell_failed(item, found.path, found.err);
		if (glob_ignored(&t->args->ignore, found.below, found.type == DT_DIR)) {
			fs_walk_skip(&t->walk);
			continue;
		}
		if (t->one_file_system && found.type == DT_DIR && is_elsewhere(t, &found))
			fs_walk_skip(&t->walk);
		*item = (struct members_item){
			.dir = found.dir,
			.name = found.name,
			.nofollow = AT_SYMLINK_NOFOLLOW,
			.path = found.path,
			.member = member_of(t, &found),
			.type = found.type,
		};
		return 1;
	}
	return more;
}

/* The directory T->fd is told, or has no name: what it holds is next. */
static int walk_root(struct members *t)
{
	t->walking = true;
	return fs_walk_start_fd(
		&t->walk, take_fd(&t->fd), t->root[t->next_root - 1], canceled, t->w);
}

int members_next(struct members *t, struct members_item *item)
{
	for (;;) {
		int err = 0;

		if (t->fd >= 0) {
			err = walk_root(t);
			if (err)
				return fail_root(t, t->root[t->next_root - 1], err, item);
		}
		if (t->walking)
			err = next_below(t, item);
		if (err)
			return err;
		close_root(t);
		if (t->next_root == t->n_roots)
			return 0;
		err = open_root(t, item);
		if (err)
			return err;
	}
}

void members_skip(struct members *t)
{
	if (t->walking)
		fs_walk_skip(&t->walk);
	else
		fd_close(&t->fd);
}

void members_fini(struct members *t)
{
	if (t->w)
		close_root(t);
}
