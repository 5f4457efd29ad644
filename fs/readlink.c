/* fs/readlink.c - fs.readlink: where a symbolic link leads */
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "fs/path.h"
#include "guestd/method.h"
#include "guestd/work.h"

struct readlink_args {
	struct who who;
	const char *path;
};

static const struct arg readlink_table[] = {
	ARG_INCLUDE(struct readlink_args, who, user_table),
	ARG(struct readlink_args, path, .required = true, .check = arg_abs_path),
	ARG_END,
};

static int readlink_work(struct work *w)
{
	const struct readlink_args *a = w->args;
	char target[PATH_MAX + 1];
	struct path p;
	int err = path_open(a->path, &p);
	ssize_t n = 0;

	if (!err) {
		n = readlinkat(p.dir, p.name, target, sizeof(target) - 1);
		err = n < 0 ? -errno : 0;
	}
	path_close(&p);
	if (err)
		return work_fail(w, err, a->path, "cannot read the link %s", a->path);
	target[n] = '\0';
	enc_map_end(&w->result, enc_map_begin(&w->result), 1);
	enc_kv_text(&w->result, "target", target);
	return 0;
}

METHOD(fs_readlink) = {
	.name = "fs.readlink",
	.doc = "Says where a symbolic link leads.",
	.args = readlink_table,
	.args_size = sizeof(struct readlink_args),
	.work = readlink_work,
	WHO(struct readlink_args),
};
