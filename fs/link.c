/* fs/link.c - fs.link: gives a file a further name */
#include <errno.h>
#include <unistd.h>

#include "fs/path.h"
#include "guestd/method.h"
#include "guestd/work.h"

struct link_args {
	struct who who;
	const char *from, *to;
};

static const struct arg link_table[] = {
	ARG_INCLUDE(struct link_args, who, user_table),
	ARG(struct link_args, from, .required = true, .check = arg_abs_path),
	ARG(struct link_args, to, .required = true, .check = arg_abs_path),
	ARG_END,
};

static int link_work(struct work *w)
{
	const struct link_args *a = w->args;
	struct path from, to;
	int err = path_open(a->from, &from);

	if (err) {
		work_fail(w, err, a->from, "cannot find %s", a->from);
		path_close(&from);
		return err;
	}
	err = path_open(a->to, &to);
	if (!err && linkat(from.dir, from.name, to.dir, to.name, 0) < 0)
		err = -errno;
	path_close(&to);
	path_close(&from);
	return err ? work_fail(w, err, a->to, "cannot link %.100s as %.100s", a->from, a->to) : 0;
}

METHOD(fs_link) = {
	.name = "fs.link",
	.doc = "Gives a file a further name: a hard link; of a symbolic link, to itself.",
	.args = link_table,
	.args_size = sizeof(struct link_args),
	.work = link_work,
	WHO(struct link_args),
	.changes = true,
};
