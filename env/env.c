/* env/env.c - the environment that the host has laid down, as a process of this guest gets it */
#include "env/env.h"

#include <string.h>

#include "guestd/config.h"

const char *const env_scope_names[] = {"tenant", "workspace", "project", "resource", NULL};
const char *const env_target_names[] = {"all", "sandbox", "computer", "agent", NULL};

static enum env_target kind(void)
{
	return config()->kind == KIND_COMPUTER ? ENV_COMPUTER : ENV_SANDBOX;
}

const char *env_check_target(const char *value)
{
	if (strcmp(value, "agent") == 0 || strcmp(value, env_target_names[kind()]) == 0)
		return NULL;
	return kind() == ENV_COMPUTER ? "computer or agent in this guest"
				      : "sandbox or agent in this guest";
}

enum env_target env_target_of(const char *target)
{
	return target && strcmp(target, "agent") == 0 ? ENV_AGENT : kind();
}

void env_resolve(
	enum env_target target, void (*fn)(const struct env_var *var, void *ctx), void *ctx)
{
	env_store_resolve(kind(), target == ENV_AGENT, fn, ctx);
}

int env_check_run(const struct vars *env, struct failure *f)
{
	for (size_t i = 0; i < env->n; i++) {
		const char *name = env->at[i].name;

		if (!*name || strchr(name, '='))
			return failure_set(f, ERR_BAD_PARAMS, NULL, NULL,
				"a name in env is empty or holds a =");
	}
	return 0;
}

size_t env_encode(const struct env_var *var, const char *scope, const char *target, bool reveal,
	struct enc *e)
{
	enc_kv_str(e, "scope", scope);
	enc_kv_str(e, "target", target);
	enc_kv_bool(e, "secret", var->secret);
	if (!var->value || (var->secret && !reveal))
		return 3;
	enc_kv_text(e, "value", var->value);
	return 4;
}
