/* fs/symlink.c - fs.symlink: makes a symbolic link */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fs/path.h"
#include "guestd/method.h"
#include "guestd/work.h"

struct symlink_args {
	struct who who;
	const char *target, *path;
};

static const struct arg symlink_table[] = {
	ARG_INCLUDE(struct symlink_args, who, who_table),
	ARG(struct symlink_args, target, .required = true),
	ARG(struct symlink_args, path, .required = true, .check = arg_abs_path),
	ARG_END,
};

static int symlink_work(struct work *w)
{
	const struct symlink_args *a = w->args;
	struct path p;
	int err = path_open(a->path, &p);

	if (!err && symlinkat(a->target, p.dir, p.name) < 0)
		err = -errno;
	if (!err && w->has_owner &&
		fchownat(p.dir, p.name, w->uid, w->gid, AT_SYMLINK_NOFOLLOW) < 0) {
		err = -errno;
		unlinkat(p.dir, p.name, 0);
	}
	path_close(&p);
	return err ? work_fail(w, err, a->path, "cannot make the link %s", a->path) : 0;
}

METHOD(fs_symlink) = {
	.name = "fs.symlink",
	.doc = "Makes a symbolic link that says target, whatever that is.",
	.args = symlink_table,
	.args_size = sizeof(struct symlink_args),
	.work = symlink_work,
	WHO(struct symlink_args),
	.changes = true,
};
