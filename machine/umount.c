/* machine/umount.c - system.umount: takes a file system out of the tree */
#include <errno.h>
#include <sys/mount.h>

#include "guestd/method.h"
#include "guestd/work.h"

struct umount_args {
	const char *target;
	bool lazy;
};

static const struct arg umount_table[] = {
	ARG(struct umount_args, target, .required = true, .check = arg_abs_path),
	ARG(struct umount_args, lazy),
	ARG_END,
};

static int umount_work(struct work *w)
{
	const struct umount_args *a = w->args;

	if (umount2(a->target, UMOUNT_NOFOLLOW | (a->lazy ? MNT_DETACH : 0)) < 0)
		return work_fail(w, -errno, a->target, "cannot unmount %s", a->target);
	return 0;
}

METHOD(system_umount) = {
	.name = "system.umount",
	.doc = "Unmounts a file system; a lazy one goes when nobody uses it any more.",
	.args = umount_table,
	.args_size = sizeof(struct umount_args),
	.work = umount_work,
	.writes = true,
};
