/* machine/hostname.c - system.hostname: the guest's name */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "guestd/method.h"
#include "guestd/work.h"
#include "machine/name.h"

struct hostname_args {
	const char *name;
};

static const struct arg hostname_table[] = {
	ARG(struct hostname_args, name, .required = true, .check = name_check),
	ARG_END,
};

static int hostname_work(struct work *w)
{
	const struct hostname_args *a = w->args;

	if (sethostname(a->name, strlen(a->name)) < 0)
		return work_fail(w, -errno, NULL, "cannot set the host's name");
	return 0;
}

METHOD(system_hostname) = {
	.name = "system.hostname",
	.doc = "Sets the host's name, until the guest starts anew.",
	.args = hostname_table,
	.args_size = sizeof(struct hostname_args),
	.work = hostname_work,
	.changes = true,
};
