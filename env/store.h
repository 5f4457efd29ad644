/*
 * env/store.h - variables that processes are to find, in layers
 *
 * A layer is a scope and a target.  Scopes go from weak to strong; within one, a value for a kind
 * of guest beats one for all, and one for agents beats both.  A value may be a mask, which takes
 * the name away from whatever is weaker.
 *
 *	tenant/all < tenant/KIND < tenant/agent < workspace/all < ... < resource/agent
 *
 * Values are secrets until somebody says otherwise: what leaves the store is overwritten, nothing of
 * it is ever logged, and the bytes are kept as they came, UTF-8 or not.
 *
 * Owner: the agent.  Thread: loop.
 */
#ifndef ENV_STORE_H
#define ENV_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "proto/args.h"

enum env_scope {
	ENV_TENANT,
	ENV_WORKSPACE,
	ENV_PROJECT,
	ENV_RESOURCE,
	ENV_RUN, /* of one call alone: never in the store */
};

/* The order is that of strength; a guest is of one kind, so the two in the middle never meet. */
enum env_target { ENV_ALL, ENV_SANDBOX, ENV_COMPUTER, ENV_AGENT };

struct env_layer {
	enum env_scope scope;
	enum env_target target;
};

struct env_var {
	struct env_layer layer;
	bool secret;
	const char *name;
	const char *value; /* NULL: a mask */
};

struct env_change {
	size_t set, masked, removed;
};

/*
 * Puts VARS into LAYER, all or none; of a name that comes twice the last counts.  With REPLACE the
 * layer then holds nothing else.  0, ERR_LIMIT (ENV_BYTES_MAX, ENV_VARS_MAX) or -ENOMEM.
 */
MUST_CHECK int env_store_set(const struct env_layer *layer, const struct vars *vars, bool replace,
	bool secret, struct env_change *change);

/* Takes NAMES out of LAYER.  How many were there; or -ENOMEM, and nothing was done. */
MUST_CHECK ssize_t env_store_unset(const struct env_layer *layer, const struct strs *names);

/* All that is in it, by name, the weakest first. */
void env_store_each(void (*fn)(const struct env_var *var, void *ctx), void *ctx);

/*
 * What decides for a process of a guest of KIND, for each name one variable, sorted by name: masks
 * among them, which take a name even from what is weaker than all layers.  AGENT: it is an agent's run.
 */
void env_store_resolve(enum env_target kind, bool agent,
	void (*fn)(const struct env_var *var, void *ctx), void *ctx);

/* Bytes of all names and values and their NULs; and how many they are. */
size_t env_store_bytes(void);
size_t env_store_count(void);

/*
 * Pointers to VARS by name, each name once: of one that comes twice, the last.  SORTED has room for all;
 * how many it got.
 */
size_t env_sort_vars(const struct vars *vars, const struct var **sorted);

/* Letters, digits and _, no digit first: what every shell takes. */
bool env_name_valid(const char *name);

#endif
