/* env/list.c - env.list: what was laid down, layer by layer */
#include <limits.h>

#include "env/env.h"
#include "guestd/conn.h"
#include "guestd/method.h"
#include "guestd/req.h"

/* No choice: it was left out. */
#define ANY UINT_MAX

struct list_args {
	unsigned scope, target;
	bool reveal;
};

static const struct arg list_table[] = {
	ARG(struct list_args, scope, .choices = env_scope_names, .dflt = -1),
	ARG(struct list_args, target, .choices = env_target_names, .dflt = -1),
	ARG(struct list_args, reveal),
	ARG_END,
};

struct listing {
	const struct list_args *args;
	struct enc *e;
	size_t n;
};

static void list_one(const struct env_var *var, void *ctx)
{
	struct listing *l = ctx;
	const struct list_args *a = l->args;
	size_t mark, n = 1;

	if ((a->scope != ANY && a->scope != var->layer.scope) ||
		(a->target != ANY && a->target != var->layer.target))
		return;
	mark = enc_map_begin(l->e);
	enc_kv_str(l->e, "name", var->name);
	n += env_encode(var, env_scope_names[var->layer.scope], env_target_names[var->layer.target],
		a->reveal, l->e);
	if (!var->value) {
		enc_kv_bool(l->e, "masked", true);
		n++;
	}
	enc_map_end(l->e, mark, n);
	l->n++;
}

static void list_call(struct req *req, void *args)
{
	struct enc e;
	struct listing l = {.args = args, .e = &e};
	size_t mark;

	req->conn->out.secret |= l.args->reveal;
	req_reply_begin(req, &e);
	mark = enc_array_begin(&e);
	env_store_each(list_one, &l);
	enc_array_end(&e, mark, l.n);
	req_reply_end(req, &e);
}

METHOD(env_list) = {
	.name = "env.list",
	.doc = "Lists the variables of all layers, or of some.",
	.args = list_table,
	.args_size = sizeof(struct list_args),
	.call = list_call,
};
