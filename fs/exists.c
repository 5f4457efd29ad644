/* fs/exists.c - fs.exists: is there anything at a path? */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "fs/entry.h"
#include "fs/path.h"
#include "guestd/method.h"
#include "guestd/work.h"

struct exists_args {
	struct who who;
	const char *path;
};

static const struct arg exists_table[] = {
	ARG_INCLUDE(struct exists_args, who, user_table),
	ARG(struct exists_args, path, .required = true, .check = arg_abs_path),
	ARG_END,
};

static int exists_work(struct work *w)
{
	const struct exists_args *a = w->args;
	struct stat st;
	struct path p;
	int err = path_open(a->path, &p);
	bool exists;

	if (!err && fstatat(p.dir, p.name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		err = -errno;
	path_close(&p);
	/* What may not be looked at is an error: who knows whether it is there? */
	if (err && err != -ENOENT && err != -ENOTDIR)
		return work_fail(w, err, a->path, "cannot tell whether %s exists", a->path);
	exists = !err;
	enc_map_end(&w->result, enc_map_begin(&w->result), exists ? 2 : 1);
	enc_kv_bool(&w->result, "exists", exists);
	if (exists)
		enc_kv_str(&w->result, "type", entry_type(st.st_mode));
	return 0;
}

METHOD(fs_exists) = {
	.name = "fs.exists",
	.doc = "Tells whether there is anything at a path, be it a link that leads nowhere.",
	.args = exists_table,
	.args_size = sizeof(struct exists_args),
	.work = exists_work,
	WHO(struct exists_args),
};
