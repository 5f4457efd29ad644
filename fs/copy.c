/* fs/copy.c - fs.copy: a file or a tree, with all that it has */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/clone.h"
#include "fs/merge.h"
#include "fs/place.h"
#include "guestd/method.h"

struct copy_args {
	struct who who;
	const char *from, *to;
	bool recursive, overwrite, parents;
};

static const struct arg copy_table[] = {
	ARG_INCLUDE(struct copy_args, who, who_table),
	ARG(struct copy_args, from, .required = true, .check = arg_abs_path),
	ARG(struct copy_args, to, .required = true, .check = arg_abs_path),
	ARG(struct copy_args, recursive),
	ARG(struct copy_args, overwrite, .dflt = true),
	ARG(struct copy_args, parents, .dflt = true),
	ARG_END,
};

/* First all of it is made under a name of its own, then it gets the right one. */
struct copy {
	enum { OPENING, CLONING, MERGING } doing;
	struct path from;
	struct place to;
	int into; /* the directory that is there, which a tree goes into; -1: none */
	bool made;
	struct clone clone;
	struct merge merge;
};

/* The directory that the copy is made in. */
static int workplace(const struct copy *c)
{
	return c->into >= 0 ? c->into : c->to.at.dir;
}

/* ST shall stand where THERE stands. */
static int check_there(
	struct work *w, struct copy *c, const struct stat *st, const struct stat *there)
{
	const struct copy_args *a = w->args;

	if (!a->overwrite)
		return work_fail(w, -EEXIST, a->to, "%s is there", a->to);
	if (st->st_dev == there->st_dev && st->st_ino == there->st_ino)
		return work_fail(w, -EINVAL, a->to, "cannot copy %s to itself", a->from);
	if (S_ISCHR(there->st_mode) || S_ISBLK(there->st_mode))
		return work_fail(w, -EEXIST, a->to,
			"%s is a device: delete it first, or write to it", a->to);
	if (!S_ISDIR(there->st_mode))
		return S_ISDIR(st->st_mode)
			       ? work_fail(w, -ENOTDIR, a->to, "cannot put a directory there")
			       : 0;
	if (!S_ISDIR(st->st_mode))
		return work_fail(w, -EISDIR, a->to, "cannot replace a directory");
	c->into = openat(c->to.at.dir, c->to.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return c->into < 0 ? work_fail(w, -errno, a->to, "cannot open %s", a->to) : 0;
}

static int copy_open(struct work *w, struct copy *c)
{
	const struct copy_args *a = w->args;
	struct stat st, there;
	int err = path_open(a->from, &c->from);

	if (!err && fstatat(c->from.dir, c->from.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		err = -errno;
	if (err)
		return work_fail(w, err, a->from, "cannot copy %s", a->from);
	if (S_ISDIR(st.st_mode) && !a->recursive)
		return work_fail(w, -EISDIR, a->from, "%s needs recursive", a->from);
	if (S_ISDIR(st.st_mode) && place_is_within(a->to, &st))
		return work_fail(w, -EINVAL, a->to, "cannot copy %s into itself", a->from);
	err = place_open(&c->to, a->to, a->parents);
	if (err)
		return work_fail(w, err, a->to, "cannot make %s", a->to);
	err = place_stat(&c->to, &there);
	if (err && err != -ENOENT)
		return work_fail(w, err, a->to, "cannot look at %s", a->to);
	if (!err)
		err = check_there(w, c, &st, &there);
	else
		err = 0;
	if (err)
		return err;
	c->made = true;
	c->doing = CLONING;
	err = clone_begin(&c->clone, &c->from, a->from, &st, workplace(c), c->to.temp);
	return err ? err : STEP_MORE;
}

static int copy_reply(struct work *w, struct copy *c)
{
	const struct clone *clone = &c->clone;
	struct enc *e = &w->result;
	size_t mark = enc_map_begin(e);

	enc_kv_uint(e, "files", clone->files);
	enc_kv_uint(e, "bytes", clone->bytes);
	enc_map_end(e, mark, 2 + clone_encode_lost(clone, e) + skipped_encode(&clone->skipped, e));
	return 0;
}

/* All of it is made. */
static int copy_made(struct work *w, struct copy *c)
{
	const struct copy_args *a = w->args;
	int err;

	if (c->into >= 0) {
		c->doing = MERGING;
		err = merge_begin(&c->merge, w, c->clone.root_out, c->into, a->to);
		return err ? err : STEP_MORE;
	}
	err = place_publish(&c->to, a->overwrite);
	if (err)
		return work_fail(w, err, a->to, "cannot put it to %s", a->to);
	c->made = false;
	return copy_reply(w, c);
}

/* All of it has gone into the tree that was there; empty directories are left. */
static int copy_merged(struct work *w, struct copy *c)
{
	int err;

	clone_remove(c->into, c->to.temp);
	c->made = false;
	err = merge_finish(&c->merge);
	c->clone.lost |= c->merge.lost;
	return err ? err : copy_reply(w, c);
}

static int copy_step(struct work *w, struct step *s)
{
	struct copy *c = w->state;
	int err;

	switch (c->doing) {
	case OPENING:
		c->from.dir = c->to.at.dir = AT_FDCWD;
		c->into = c->merge.dive.fd = -1;
		clone_init(&c->clone, w);
		return copy_open(w, c);
	case CLONING:
		err = clone_step(&c->clone, s);
		return err ? err : copy_made(w, c);
	case MERGING:
		err = merge_step(&c->merge, s);
		return err ? err : copy_merged(w, c);
	}
	return -EINVAL;
}

static void copy_end(struct work *w)
{
	struct copy *c = w->state;

	clone_fini(&c->clone);
	merge_fini(&c->merge);
	if (c->made)
		clone_remove(workplace(c), c->to.temp);
	place_close(&c->to);
	path_close(&c->from);
	fd_close(&c->into);
}

static const struct steps copy_steps = {
	.step = copy_step,
	.end = copy_end,
	.state_size = sizeof(struct copy),
};

METHOD(fs_copy) = {
	.name = "fs.copy",
	.doc = "Copies a file, or with recursive a tree: all of it, or nothing.",
	.args = copy_table,
	.args_size = sizeof(struct copy_args),
	.steps = &copy_steps,
	WHO(struct copy_args),
	.changes = true,
};
