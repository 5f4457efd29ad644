/* fs/truncate.c - fs.truncate: cuts a file, or lengthens it with a hole */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/path.h"
#include "guestd/method.h"
#include "guestd/work.h"

struct truncate_args {
	struct who who;
	const char *path;
	uint64_t size;
};

static const struct arg truncate_table[] = {
	ARG_INCLUDE(struct truncate_args, who, user_table),
	ARG(struct truncate_args, path, .required = true, .check = arg_abs_path),
	ARG(struct truncate_args, size, .required = true),
	ARG_END,
};

/* truncate(2) takes no directory; and opening a device may already do something. */
static int truncate_at(const struct path *p, off_t size)
{
	struct stat st;
	int fd, err;

	if (fstatat(p->dir, p->name, &st, 0) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	fd = openat(p->dir, p->name, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = ftruncate(fd, size) < 0 ? -errno : 0;
	fd_close(&fd);
	return err;
}

static int truncate_work(struct work *w)
{
	const struct truncate_args *a = w->args;
	struct path p;
	int err = path_open(a->path, &p);

	if (!err)
		err = truncate_at(&p, (off_t)a->size);
	path_close(&p);
	return err ? work_fail(w, err, a->path, "cannot set the size of %s", a->path) : 0;
}

METHOD(fs_truncate) = {
	.name = "fs.truncate",
	.doc = "Cuts a regular file to a size, or lengthens it with a hole.",
	.args = truncate_table,
	.args_size = sizeof(struct truncate_args),
	.work = truncate_work,
	WHO(struct truncate_args),
	.changes = true,
};
