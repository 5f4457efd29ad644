/* fs/stat.c - fs.stat: what is at a path? */
#include "fs/entry.h"
#include "fs/path.h"
#include "guestd/method.h"
#include "guestd/work.h"

struct stat_args {
	struct who who;
	const char *path;
	bool follow;
};

static const struct arg stat_table[] = {
	ARG_INCLUDE(struct stat_args, who, user_table),
	ARG(struct stat_args, path, .required = true, .check = arg_abs_path),
	ARG(struct stat_args, follow),
	ARG_END,
};

static int stat_work(struct work *w)
{
	const struct stat_args *a = w->args;
	struct entry_names names;
	struct entry entry;
	struct path p;
	int err = path_open(a->path, &p);

	if (!err)
		err = entry_read(p.dir, p.name, a->follow, &entry);
	path_close(&p);
	if (err)
		return work_fail(w, err, a->path, "cannot look at %s", a->path);
	entry_names_begin(&names);
	entry_encode(&entry, a->path, 0, &names, &w->result);
	entry_names_end(&names);
	return 0;
}

METHOD(fs_stat) = {
	.name = "fs.stat",
	.doc = "Tells what is at a path: of a link itself, or with follow of where it leads.",
	.args = stat_table,
	.args_size = sizeof(struct stat_args),
	.work = stat_work,
	WHO(struct stat_args),
};
