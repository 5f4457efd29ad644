/* system/ca_install.c - system.ca_install: a CA that the programs of the guest trust */
#include "guestd/method.h"
#include "proto/limits.h"
#include "system/ca.h"

struct ca_install_args {
	const char *name;
	struct bytes pem;
};

static const struct arg ca_install_table[] = {
	ARG(struct ca_install_args, name, .required = true, .check = ca_check_name),
	ARG(struct ca_install_args, pem, .required = true),
	ARG_END,
};

static int ca_install_work(struct work *w)
{
	const struct ca_install_args *a = w->args;
	char path[PATH_MAX];
	int err;

	if (a->pem.len > CA_PEM_MAX)
		return failure_set(&w->failure, ERR_BAD_PARAMS, NULL, NULL,
			"parameter pem: a certificate has %u bytes at most", CA_PEM_MAX);
	err = ca_install(w, a->name, a->pem.at, a->pem.len, path);
	if (err)
		return err;
	enc_map_end(&w->result, enc_map_begin(&w->result), 1);
	enc_kv_text(&w->result, "path", path);
	return 0;
}

METHOD(system_ca_install) = {
	.name = "system.ca_install",
	.doc = "Adds a CA to the trust store of the guest.",
	.args = ca_install_table,
	.args_size = sizeof(struct ca_install_args),
	.work = ca_install_work,
	.changes = true,
};
