/* fs/utimes.c - fs.utimes: sets the times of a file */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "fs/path.h"
#include "guestd/method.h"
#include "guestd/work.h"

/* No time that the wire can carry. */
#define LEFT_OUT INT64_MIN

struct utimes_args {
	struct who who;
	const char *path;
	int64_t mtime_us, atime_us;
};

static const struct arg utimes_table[] = {
	ARG_INCLUDE(struct utimes_args, who, user_table),
	ARG(struct utimes_args, path, .required = true, .check = arg_abs_path),
	ARG(struct utimes_args, mtime_us, .dflt = LEFT_OUT),
	ARG(struct utimes_args, atime_us, .dflt = LEFT_OUT),
	ARG_END,
};

static struct timespec to_timespec(int64_t us)
{
	int64_t part = us % 1000000;

	if (us == LEFT_OUT)
		return (struct timespec){.tv_nsec = UTIME_OMIT};
	if (part < 0) /* before 1970 the nanoseconds count forward all the same */
		part += 1000000;
	return (struct timespec){.tv_sec = (us - part) / 1000000, .tv_nsec = part * 1000};
}

static int utimes_work(struct work *w)
{
	const struct utimes_args *a = w->args;
	const struct timespec times[2] = {to_timespec(a->atime_us), to_timespec(a->mtime_us)};
	bool now = a->atime_us == LEFT_OUT && a->mtime_us == LEFT_OUT;
	struct path p;
	int err = path_open(a->path, &p);

	if (!err && utimensat(p.dir, p.name, now ? NULL : times, 0) < 0)
		err = -errno;
	path_close(&p);
	return err ? work_fail(w, err, a->path, "cannot set the times of %s", a->path) : 0;
}

METHOD(fs_utimes) = {
	.name = "fs.utimes",
	.doc = "Sets the times of a file; with neither given, both to now.",
	.args = utimes_table,
	.args_size = sizeof(struct utimes_args),
	.work = utimes_work,
	WHO(struct utimes_args),
	.changes = true,
};
