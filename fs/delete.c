/*
 * fs/delete.c - fs.delete: removes a file, or a directory with all that is below it
 *
 * While others go on writing into the tree a directory may not be empty any more by the time it is
 * left, and so the root is not either: then the tree is walked anew, but not for ever.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/path.h"
#include "fs/walk.h"
#include "guestd/method.h"
#include "guestd/steps.h"

#define MAX_ROUNDS 20

struct delete_args {
	struct who who;
	const char *path;
	bool recursive, missing_ok;
};

static const struct arg delete_table[] = {
	ARG_INCLUDE(struct delete_args, who, user_table),
	ARG(struct delete_args, path, .required = true, .check = arg_abs_path),
	ARG(struct delete_args, recursive),
	ARG(struct delete_args, missing_ok),
	ARG_END,
};

struct delete
{
	struct fs_walk walk;
	bool walking;
	unsigned rounds;
	uint64_t deleted, n_failed;
	int unread; /* why the directory that is left next could not be read */
};

static bool canceled(const void *ctx)
{
	return work_canceled(ctx);
}

static bool same_as(const struct stat *st, const char *path)
{
	struct stat other;

	return stat(path, &other) == 0 && st->st_dev == other.st_dev && st->st_ino == other.st_ino;
}

/* Refuses what is never meant, before anything is gone. */
static int check(struct work *w, const char *path, const struct stat *st)
{
	size_t len;
	const char *base = path_base(path, &len);

	if (S_ISDIR(st->st_mode) && same_as(st, "/"))
		return failure_set(&w->failure, -EBUSY, NULL, path, "the root is not deleted");
	if ((len == 1 && *base == '.') || (len == 2 && base[0] == '.' && base[1] == '.'))
		return failure_set(&w->failure, -EINVAL, NULL, path,
			"%s does not end in the name of what is to be deleted", path);
	if (base[len] == '/' && !S_ISDIR(st->st_mode))
		return work_fail(w, -ENOTDIR, path, "cannot delete %s", path);
	return 0;
}

static int remove_at(struct delete *d, int dir, const char *name, bool is_dir)
{
	if (unlinkat(dir, name, is_dir ? AT_REMOVEDIR : 0) < 0)
		return -errno;
	d->deleted++;
	return 0;
}

/*
 * The first reason is what the client is told.  What was put into a directory meanwhile, or has
 * taken the name of something else, is for the next round.
 */
static void failed(struct delete *d, struct work *w, const char *path, int err)
{
	if (err == -ENOENT || err == -ENOTEMPTY || err == -EEXIST || err == -ENOTDIR ||
		err == -EISDIR)
		return;
	if (d->n_failed++ == 0)
		work_fail(w, err, path, "cannot delete %s", path);
}

static void remove_item(struct delete *d, struct work *w, const struct fs_walk_item *item)
{
	bool is_dir = item->type == DT_DIR;
	int err;

	if (item->what == FS_WALK_FAILED) {
		d->unread = item->err; /* it may be empty all the same */
		return;
	}
	if (is_dir && item->what == FS_WALK_ENTRY)
		return;
	err = remove_at(d, item->dir, item->name, is_dir);
	if (d->unread && err == -ENOTEMPTY)
		err = d->unread;
	d->unread = 0;
	if (err)
		failed(d, w, item->path, err);
}

static int walk(struct delete *d, struct work *w, struct step *s)
{
	struct fs_walk_item item;

	while (!step_due(s)) {
		int more = fs_walk_next(&d->walk, &item);

		if (more <= 0)
			return more;
		remove_item(d, w, &item);
	}
	return STEP_MORE;
}

/* After a round: 0, or the error that the call ends with. */
static int end_round(struct delete *d, struct work *w)
{
	size_t len = strlen(w->failure.message);

	fs_walk_fini(&d->walk);
	d->walking = false;
	if (d->n_failed > 1)
		snprintf(w->failure.message + len, sizeof(w->failure.message) - len,
			"; and %llu more failed", (unsigned long long)(d->n_failed - 1));
	return d->n_failed ? w->failure.err : 0;
}

static int start_round(struct delete *d, const struct delete_args *a, struct work *w)
{
	int err;

	if (!a->recursive)
		return failure_set(&w->failure, -ENOTEMPTY, NULL, a->path,
			"the directory %.150s is not empty: recursive deletes all in it", a->path);
	if (d->rounds++ == MAX_ROUNDS)
		return failure_set(&w->failure, -ENOTEMPTY, NULL, a->path,
			"the directory %.150s is still written to", a->path);
	d->unread = 0;
	err = fs_walk_start(&d->walk, a->path, 0, canceled, w);
	if (err == -ENOENT || err == -ENOTDIR || err == -ELOOP)
		return STEP_MORE; /* it is another one by now */
	if (err)
		return work_fail(w, err, a->path, "cannot delete %s", a->path);
	d->walking = true;
	return STEP_MORE;
}

static int remove_checked(struct delete *d, struct work *w, const char *path)
{
	char name[PATH_MAX];
	struct stat st;
	struct path p;
	int err = path_open_plain(path, &p, name);

	if (!err && fstatat(p.dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		err = -errno;
	if (!err)
		err = check(w, path, &st);
	if (!err)
		err = remove_at(d, p.dir, name, S_ISDIR(st.st_mode));
	path_close(&p);
	return err;
}

/* The path itself: STEP_MORE where it is a directory to be emptied first. */
static int remove_root(struct delete *d, const struct delete_args *a, struct work *w)
{
	int err = remove_checked(d, w, a->path);

	if (!err || err == w->failure.err)
		return err;
	/* It was there when we began, or it need not be. */
	if ((err == -ENOENT || err == -ENOTDIR) && (a->missing_ok || d->deleted))
		return 0;
	if (err == -ENOTEMPTY || err == -EEXIST)
		return start_round(d, a, w);
	return work_fail(w, err, a->path, "cannot delete %s", a->path);
}

static int delete_some(
	struct delete *d, const struct delete_args *a, struct work *w, struct step *s)
{
	int err = 0;

	if (d->walking)
		err = walk(d, w, s);
	if (!err && d->walking)
		err = end_round(d, w);
	return err ? err : remove_root(d, a, w);
}

static int delete_step(struct work *w, struct step *s)
{
	const struct delete_args *a = w->args;
	struct delete *d = w->state;
	int err;

	do {
		err = delete_some(d, a, w, s);
	} while (err == STEP_MORE && !step_due(s));
	if (err)
		return err;
	enc_map_end(&w->result, enc_map_begin(&w->result), 1);
	enc_kv_uint(&w->result, "deleted", d->deleted);
	return 0;
}

static void delete_end(struct work *w)
{
	struct delete *d = w->state;

	fs_walk_fini(&d->walk);
}

static const struct steps delete_steps = {
	.state_size = sizeof(struct delete),
	.step = delete_step,
	.end = delete_end,
};

METHOD(fs_delete) = {
	.name = "fs.delete",
	.doc = "Removes a file or an empty directory, with recursive all below it; links are not followed.",
	.args = delete_table,
	.args_size = sizeof(struct delete_args),
	.steps = &delete_steps,
	WHO(struct delete_args),
	.changes = true,
};
