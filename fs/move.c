/* fs/move.c - fs.move: a file or a tree gets another name, on another file system too */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/clone.h"
#include "fs/entry.h"
#include "fs/place.h"
#include "guestd/method.h"

struct move_args {
	struct who who;
	const char *from, *to;
	bool overwrite, parents;
};

static const struct arg move_table[] = {
	ARG_INCLUDE(struct move_args, who, user_table),
	ARG(struct move_args, from, .required = true, .check = arg_abs_path),
	ARG(struct move_args, to, .required = true, .check = arg_abs_path),
	ARG(struct move_args, overwrite, .dflt = true),
	ARG(struct move_args, parents, .dflt = true),
	ARG_END,
};

struct move {
	enum { RENAMING, CLONING, REMOVING } doing;
	struct place from, to;
	struct stat st; /* of what is moved */
	bool made;      /* a copy, that has not got its name */
	struct clone clone;
	struct fs_walk walk; /* through the original, which goes */
};

static bool canceled(const void *ctx)
{
	return work_canceled(ctx);
}

static int move_reply(struct work *w, struct move *m)
{
	const struct move_args *a = w->args;
	struct entry_names names;
	struct entry entry;
	size_t pairs;
	int err = entry_read(m->to.at.dir, m->to.name, false, &entry);

	if (err)
		return work_fail(w, err, a->to, "moved, but cannot look at %s", a->to);
	entry_names_begin(&names);
	pairs = entry_encode(&entry, a->to, 0, &names, &w->result);
	entry_names_end(&names);
	enc_map_end(&w->result, 0, pairs + clone_encode_lost(&m->clone, &w->result));
	return 0;
}

/* Two names of one file: rename(2) would leave both. */
static bool is_other_name(const struct move *m, const struct stat *there)
{
	struct stat a, b;

	if (there->st_dev != m->st.st_dev || there->st_ino != m->st.st_ino ||
		S_ISDIR(m->st.st_mode) || there->st_nlink < 2)
		return false;
	if (strcmp(m->from.name, m->to.name) != 0)
		return true;
	return fstat(m->from.at.dir, &a) < 0 || fstat(m->to.at.dir, &b) < 0 ||
	       a.st_dev != b.st_dev || a.st_ino != b.st_ino;
}

static int move_open(struct work *w, struct move *m)
{
	const struct move_args *a = w->args;
	int err = place_open(&m->from, a->from, false);

	m->from.taken = true;
	if (!err)
		err = place_stat(&m->from, &m->st);
	if (err)
		return work_fail(w, err, a->from, "cannot move %s", a->from);
	if (S_ISDIR(m->st.st_mode) && place_is_within(a->to, &m->st))
		return work_fail(w, -EINVAL, a->to, "cannot move %s into itself", a->from);
	err = place_open(&m->to, a->to, a->parents);
	return err ? work_fail(w, err, a->to, "cannot make %s", a->to) : 0;
}

/* What rename(2) would have said of what is at the other end. */
static int check_there(struct work *w, const struct move *m)
{
	const struct move_args *a = w->args;
	struct stat there;
	int err = place_stat(&m->to, &there);

	if (err == -ENOENT)
		return 0;
	if (err)
		return work_fail(w, err, a->to, "cannot look at %s", a->to);
	if (!a->overwrite)
		return work_fail(w, -EEXIST, a->to, "%s is there", a->to);
	if (S_ISDIR(there.st_mode) && !S_ISDIR(m->st.st_mode))
		return work_fail(w, -EISDIR, a->to, "cannot replace a directory");
	if (!S_ISDIR(there.st_mode) && S_ISDIR(m->st.st_mode))
		return work_fail(w, -ENOTDIR, a->to, "cannot put a directory there");
	return 0;
}

static int move_rename(struct work *w, struct move *m)
{
	const struct move_args *a = w->args;
	struct path from;
	struct stat there;
	int err = move_open(w, m);

	if (err)
		return err;
	from = (struct path){.dir = m->from.at.dir, .name = m->from.name};
	if (a->overwrite && place_stat(&m->to, &there) == 0 && is_other_name(m, &there))
		err = unlinkat(from.dir, from.name, 0) < 0 ? -errno : 0;
	else
		err = place_rename(&m->to, from.dir, from.name, a->overwrite);
	if (!err)
		return move_reply(w, m);
	if (err != -EXDEV)
		return work_fail(w, err, err == -EEXIST ? a->to : a->from,
			"cannot move %s to its new place", a->from);
	err = check_there(w, m);
	if (err)
		return err;
	m->made = true;
	m->doing = CLONING;
	m->clone.strict = true;
	err = clone_begin(&m->clone, &from, a->from, &m->st, m->to.at.dir, m->to.temp);
	return err ? err : STEP_MORE;
}

static int removal_failed(struct work *w, int err, const char *path)
{
	return work_fail(w, err, path, "it was copied, but the original cannot be removed");
}

/* The copy stands under its new name. */
static int begin_removal(struct work *w, struct move *m)
{
	const struct move_args *a = w->args;
	struct stat st;
	int fd, err;

	if (!S_ISDIR(m->st.st_mode)) {
		if (unlinkat(m->from.at.dir, m->from.name, 0) < 0 && errno != ENOENT)
			return removal_failed(w, -errno, a->from);
		return move_reply(w, m);
	}
	fd = openat(m->from.at.dir, m->from.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return removal_failed(w, -errno, a->from);
	if (fstat(fd, &st) < 0 || st.st_dev != m->st.st_dev || st.st_ino != m->st.st_ino) {
		fd_close(&fd);
		return removal_failed(w, -ESTALE, a->from);
	}
	err = fs_walk_start_fd(&m->walk, fd, a->from, canceled, w);
	if (err)
		return removal_failed(w, err, a->from);
	m->doing = REMOVING;
	return STEP_MORE;
}

static int move_cloned(struct work *w, struct move *m)
{
	const struct move_args *a = w->args;
	int err = place_publish(&m->to, a->overwrite);

	if (err)
		return work_fail(w, err, a->to, "cannot put it to %s", a->to);
	m->made = false;
	return begin_removal(w, m);
}

static int move_remove(struct work *w, struct move *m, const struct step *s)
{
	const struct move_args *a = w->args;
	struct fs_walk_item item;
	int err;

	do {
		err = fs_walk_next(&m->walk, &item);
		if (err < 0)
			return err;
		if (!err) {
			if (unlinkat(m->from.at.dir, m->from.name, AT_REMOVEDIR) < 0)
				return removal_failed(w, -errno, a->from);
			return move_reply(w, m);
		}
		err = clone_remove_item(&item);
		if (err)
			return removal_failed(w, err, item.path);
	} while (!step_due(s));
	return STEP_MORE;
}

static int move_step(struct work *w, struct step *s)
{
	struct move *m = w->state;
	int err;

	switch (m->doing) {
	case RENAMING:
		m->from.at.dir = m->to.at.dir = AT_FDCWD;
		clone_init(&m->clone, w);
		return move_rename(w, m);
	case CLONING:
		err = clone_step(&m->clone, s);
		return err ? err : move_cloned(w, m);
	case REMOVING:
		return move_remove(w, m, s);
	}
	return -EINVAL;
}

static void move_end(struct work *w)
{
	struct move *m = w->state;

	fs_walk_fini(&m->walk);
	clone_fini(&m->clone);
	if (m->made)
		clone_remove(m->to.at.dir, m->to.temp);
	place_close(&m->to);
	place_close(&m->from);
}

static const struct steps move_steps = {
	.step = move_step,
	.end = move_end,
	.state_size = sizeof(struct move),
};

METHOD(fs_move) = {
	.name = "fs.move",
	.doc = "Gives a file or a tree another name, also on another file system.",
	.args = move_table,
	.args_size = sizeof(struct move_args),
	.steps = &move_steps,
	WHO(struct move_args),
	.changes = true,
};
