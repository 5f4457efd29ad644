/*
 * env/env.h - the environment that the host has laid down, as a process of this guest gets it
 *
 * Thread: loop.
 */
#ifndef ENV_ENV_H
#define ENV_ENV_H

#include <stdbool.h>

#include "env/store.h"
#include "proto/enc.h"
#include "proto/err.h"

/* Names of the wire, ended by NULL, in the order of the enums. */
extern const char *const env_scope_names[];
extern const char *const env_target_names[];

/* For .check of a parameter `target`: the guest's kind, or agent. */
const char *env_check_target(const char *value);

/* What env_check_target let pass; NULL is the guest's kind. */
enum env_target env_target_of(const char *target);

/* As env_store_resolve, in this guest: TARGET is its kind or ENV_AGENT. */
void env_resolve(
	enum env_target target, void (*fn)(const struct env_var *var, void *ctx), void *ctx);

/* The names that a run's own `env` may have.  0, or ERR_BAD_PARAMS with F filled. */
int env_check_run(const struct vars *env, struct failure *f);

/* Parameters of env.set, wherever they stand. */
struct env_set_args {
	unsigned scope, target;
	struct vars vars;
	bool replace, secret;
};
extern const struct arg env_set_table[];

/* 0, or an error with F filled, and nothing has changed. */
MUST_CHECK int env_set(const struct env_set_args *a, struct env_change *change, struct failure *f);

/* Pairs of a map: scope, target, secret, and the value where it may be shown; how many. */
size_t env_encode(const struct env_var *var, const char *scope, const char *target, bool reveal,
	struct enc *e);

#endif
