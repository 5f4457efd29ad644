/* machine/mount.c - system.mount: a file system into the tree */
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "base/mem.h"
#include "guestd/method.h"
#include "guestd/work.h"
#include "machine/mounting.h"

struct mount_args {
	const char *source, *target, *fstype, *options;
	bool parents;
};

static const struct arg mount_table[] = {
	ARG(struct mount_args, source, .required = true),
	ARG(struct mount_args, target, .required = true, .check = arg_abs_path),
	ARG(struct mount_args, fstype, .required = true),
	ARG(struct mount_args, options),
	ARG(struct mount_args, parents, .dflt = true),
	ARG_END,
};

static int mount_work(struct work *w)
{
	const struct mount_args *a = w->args;
	const char *text = a->options ? a->options : "";
	char *data = xmalloc(strlen(text) + 1);
	unsigned long flags = mounting_parse(text, data);
	int err = a->parents && !(flags & MS_REMOUNT) ? mounting_target(a->target) : 0;

	if (err) {
		work_fail(w, err, a->target, "cannot make the directory %s", a->target);
	} else {
		err = mounting_do(a->source, a->target, a->fstype, flags, data);
		if (err)
			work_fail(w, err, a->target, "cannot mount %s (%s) on %s", a->source,
				a->fstype, a->target);
	}
	free(data);
	return err;
}

METHOD(system_mount) = {
	.name = "system.mount",
	.doc = "Mounts a file system.",
	.args = mount_table,
	.args_size = sizeof(struct mount_args),
	.work = mount_work,
	.writes = true,
};
