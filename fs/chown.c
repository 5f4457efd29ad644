/* fs/chown.c - fs.chown: sets the owner */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fs/change.h"
#include "guestd/method.h"

struct chown_args {
	struct who who;
	const char *path;
	bool recursive;
};

static const struct arg chown_who_table[] = {
	ARG(struct who, user),
	ARG(struct who, owner, .required = true),
	ARG_END,
};

static const struct arg chown_table[] = {
	ARG_INCLUDE(struct chown_args, who, chown_who_table),
	ARG(struct chown_args, path, .required = true, .check = arg_abs_path),
	ARG(struct chown_args, recursive),
	ARG_END,
};

static int apply(struct work *w, int dir, const char *name, unsigned char type, bool follow)
{
	int flags = follow ? 0 : AT_SYMLINK_NOFOLLOW;

	(void)type;
	return fchownat(dir, name, w->uid, w->gid, flags) < 0 ? -errno : 0;
}

static int chown_step(struct work *w, struct step *s)
{
	const struct chown_args *a = w->args;
	const struct change change = {
		.path = a->path,
		.recursive = a->recursive,
		.what = "cannot change the owner of",
		.apply = apply,
	};

	return change_step(w->state, &change, w, s);
}

static void chown_end(struct work *w)
{
	change_fini(w->state);
}

static const struct steps chown_steps = {
	.state_size = sizeof(struct changing),
	.step = chown_step,
	.end = chown_end,
};

METHOD(fs_chown) = {
	.name = "fs.chown",
	.doc = "Sets the owner of a file, with recursive of all below it, and there of the links themselves.",
	.args = chown_table,
	.args_size = sizeof(struct chown_args),
	.steps = &chown_steps,
	WHO(struct chown_args),
	.changes = true,
};
