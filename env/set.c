/* env/set.c - env.set: variables for the processes that start from now on */
#include "env/env.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "proto/limits.h"

const struct arg env_set_table[] = {
	ARG(struct env_set_args, scope, .choices = env_scope_names, .dflt = ENV_RESOURCE),
	ARG(struct env_set_args, target, .choices = env_target_names, .dflt = ENV_ALL),
	ARG(struct env_set_args, vars, .required = true),
	ARG(struct env_set_args, replace),
	ARG(struct env_set_args, secret),
	ARG_END,
};

int env_set(const struct env_set_args *a, struct env_change *change, struct failure *f)
{
	const struct env_layer layer = {a->scope, a->target};
	int err;

	for (size_t i = 0; i < a->vars.n; i++) {
		if (!env_name_valid(a->vars.at[i].name))
			return failure_set(f, ERR_BAD_PARAMS, NULL, NULL,
				"a name in vars is not of letters, digits and _, no digit first: "
				"%.64s",
				a->vars.at[i].name);
	}
	err = env_store_set(&layer, &a->vars, a->replace, a->secret, change);
	if (err == ERR_LIMIT)
		return failure_set(f, err, NULL, NULL,
			"max_env is reached: all layers hold %u bytes and %u variables at most",
			ENV_BYTES_MAX, ENV_VARS_MAX);
	return err ? failure_set(f, err, NULL, NULL, "out of memory for the variables") : 0;
}

static void set_call(struct req *req, void *args)
{
	struct env_change change = {0};
	struct failure f;
	struct enc e;

	if (env_set(args, &change, &f)) {
		req_fail_with(req, &f);
		return;
	}
	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 3);
	enc_kv_uint(&e, "set", change.set);
	enc_kv_uint(&e, "unset", change.masked);
	enc_kv_uint(&e, "replaced", change.removed);
	req_reply_end(req, &e);
}

METHOD(env_set) = {
	.name = "env.set",
	.doc = "Sets variables that processes find which start from now on.",
	.args = env_set_table,
	.args_size = sizeof(struct env_set_args),
	.call = set_call,
	.secret = true,
	.changes = true,
};
