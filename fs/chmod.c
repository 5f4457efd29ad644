/* fs/chmod.c - fs.chmod: sets permissions */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "fs/change.h"
#include "fs/mode.h"
#include "guestd/method.h"

struct chmod_args {
	struct who who;
	const char *path;
	uint64_t mode;
	bool recursive;
};

static const struct arg chmod_table[] = {
	ARG_INCLUDE(struct chmod_args, who, user_table),
	ARG(struct chmod_args, path, .required = true, .check = arg_abs_path),
	ARG(struct chmod_args, mode, .required = true, .max = 07777),
	ARG(struct chmod_args, recursive),
	ARG_END,
};

static int apply(struct work *w, int dir, const char *name, unsigned char type, bool follow)
{
	const struct chmod_args *a = w->args;

	if (follow)
		return fchmodat(dir, name, (mode_t)a->mode, 0) < 0 ? -errno : 0;
	return type == DT_LNK ? 0 : mode_set(dir, name, (mode_t)a->mode); /* a link has none */
}

static int chmod_step(struct work *w, struct step *s)
{
	const struct chmod_args *a = w->args;
	const struct change change = {
		.path = a->path,
		.recursive = a->recursive,
		/* Whoever loses the right to enter a directory does it at the end, else at once. */
		.children_first = (a->mode & (S_IRUSR | S_IXUSR)) != (S_IRUSR | S_IXUSR),
		.what = "cannot change the mode of",
		.apply = apply,
	};

	return change_step(w->state, &change, w, s);
}

static void chmod_end(struct work *w)
{
	change_fini(w->state);
}

static const struct steps chmod_steps = {
	.state_size = sizeof(struct changing),
	.step = chmod_step,
	.end = chmod_end,
};

METHOD(fs_chmod) = {
	.name = "fs.chmod",
	.doc = "Sets the permissions of a file, with recursive of all below it; links below are left out.",
	.args = chmod_table,
	.args_size = sizeof(struct chmod_args),
	.steps = &chmod_steps,
	WHO(struct chmod_args),
	.changes = true,
};
