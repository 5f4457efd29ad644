/* env/resolve.c - env.resolve: what a process would find, and where it comes from */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "env/env.h"
#include "guestd/conn.h"
#include "guestd/method.h"
#include "guestd/req.h"

struct resolve_args {
	const char *target;
	struct vars env;
	bool reveal;
};

static const struct arg resolve_table[] = {
	ARG(struct resolve_args, target, .check = env_check_target),
	ARG(struct resolve_args, env),
	ARG(struct resolve_args, reveal),
	ARG_END,
};

struct resolving {
	const struct resolve_args *args;
	enum env_target target;
	const struct var **run; /* of args->env, sorted by name, each once */
	size_t n_run;
	struct enc *e;
	size_t n;
};

static int name_is(const void *name, const void *var)
{
	return strcmp(name, (*(const struct var *const *)var)->name);
}

static void encode(struct resolving *r, const struct env_var *var, const char *scope,
	const char *target, bool reveal)
{
	size_t mark;

	if (!var->value)
		return;
	enc_text(r->e, var->name, strlen(var->name));
	mark = enc_map_begin(r->e);
	enc_map_end(r->e, mark, env_encode(var, scope, target, reveal, r->e));
	r->n++;
}

static void resolve_one(const struct env_var *var, void *ctx)
{
	struct resolving *r = ctx;

	if (!r->n_run || !bsearch(var->name, r->run, r->n_run, sizeof(*r->run), name_is))
		encode(r, var, env_scope_names[var->layer.scope],
			env_target_names[var->layer.target], r->args->reveal);
}

static void resolve_run(struct resolving *r)
{
	for (size_t i = 0; i < r->n_run; i++) {
		const struct env_var var = {
			.name = r->run[i]->name,
			.value = r->run[i]->value,
		};

		encode(r, &var, "run", env_target_names[r->target], true);
	}
}

static void resolve_call(struct req *req, void *args)
{
	const struct resolve_args *a = args;
	struct resolving r = {.args = a, .target = env_target_of(a->target)};
	struct failure f;
	struct enc e;
	size_t mark;

	if (env_check_run(&a->env, &f)) {
		req_fail_with(req, &f);
		return;
	}
	r.run = malloc(MAX(a->env.n, 1) * sizeof(*r.run));
	if (!r.run) {
		req_fail(req, -ENOMEM, "out of memory for the variables");
		return;
	}
	r.n_run = env_sort_vars(&a->env, r.run);
	r.e = &e;
	req->conn->out.secret |= a->reveal;
	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 1);
	enc_str(&e, "vars");
	mark = enc_map_begin(&e);
	env_resolve(r.target, resolve_one, &r);
	resolve_run(&r);
	enc_map_end(&e, mark, r.n);
	free((void *)r.run);
	req_reply_end(req, &e);
}

METHOD(env_resolve) = {
	.name = "env.resolve",
	.doc = "Says what a process would find in its environment, and where it comes from.",
	.args = resolve_table,
	.args_size = sizeof(struct resolve_args),
	.call = resolve_call,
	.secret = true,
};
