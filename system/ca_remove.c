/* system/ca_remove.c - system.ca_remove: undoes system.ca_install */
#include "guestd/method.h"
#include "system/ca.h"

struct ca_remove_args {
	const char *name;
};

static const struct arg ca_remove_table[] = {
	ARG(struct ca_remove_args, name, .required = true, .check = ca_check_name),
	ARG_END,
};

static int ca_remove_work(struct work *w)
{
	const struct ca_remove_args *a = w->args;

	return ca_remove(w, a->name);
}

METHOD(system_ca_remove) = {
	.name = "system.ca_remove",
	.doc = "Takes a CA that system.ca_install added out of the trust store.",
	.args = ca_remove_table,
	.args_size = sizeof(struct ca_remove_args),
	.work = ca_remove_work,
	.changes = true,
};
