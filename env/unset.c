/* env/unset.c - env.unset: takes variables out of a layer, masks among them */
#include <string.h>

#include "env/env.h"
#include "guestd/method.h"
#include "guestd/req.h"

struct unset_args {
	unsigned scope, target;
	struct strs names;
};

static const struct arg unset_table[] = {
	ARG(struct unset_args, scope, .choices = env_scope_names, .dflt = ENV_RESOURCE),
	ARG(struct unset_args, target, .choices = env_target_names, .dflt = ENV_ALL),
	ARG(struct unset_args, names, .required = true),
	ARG_END,
};

static void unset_call(struct req *req, void *args)
{
	const struct unset_args *a = args;
	const struct env_layer layer = {a->scope, a->target};
	ssize_t removed;
	struct enc e;

	for (size_t i = 0; i < a->names.n; i++) {
		if (!env_name_valid(a->names.at[i])) {
			req_fail(req, ERR_BAD_PARAMS,
				"one of names is not of letters, digits and _, no digit first: "
				"%.64s",
				a->names.at[i]);
			return;
		}
	}
	removed = env_store_unset(&layer, &a->names);
	if (removed < 0) {
		req_fail(req, (int)removed, "out of memory for the names");
		return;
	}
	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 1);
	enc_kv_uint(&e, "removed", (uint64_t)removed);
	req_reply_end(req, &e);
}

METHOD(env_unset) = {
	.name = "env.unset",
	.doc = "Takes variables and masks out of a layer.",
	.args = unset_table,
	.args_size = sizeof(struct unset_args),
	.call = unset_call,
	.changes = true,
};
