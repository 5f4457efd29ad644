/* env/store.c - variables that processes are to find, in layers */
#include "env/store.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/err.h"
#include "proto/limits.h"

/* One allocation each, name and value behind it, so that one call overwrites all of it. */
struct entry {
	struct env_var var;
	size_t len; /* of `text` */
	char text[];
};

/* Sorted by name, then by strength: those of one name lie together, the strongest last. */
static struct {
	struct entry **at;
	size_t n, bytes;
} store;

bool env_name_valid(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
	size_t len = strlen(name);

	return len && strchr(letters, name[0]) &&
	       strspn(name, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") ==
		       len;
}

/* As a process holds it: "NAME=value". */
static size_t var_bytes(const char *name, const char *value)
{
	return strlen(name) + 1 + (value ? strlen(value) + 1 : 0);
}

static struct entry *entry_new(const struct env_layer *layer, const struct var *var, bool secret)
{
	size_t name_len = strlen(var->name) + 1, len = var_bytes(var->name, var->value);
	struct entry *e = malloc(sizeof(*e) + len);

	if (!e)
		return NULL;
	e->len = len;
	memcpy(e->text, var->name, name_len);
	if (var->value)
		memcpy(e->text + name_len, var->value, len - name_len);
	e->var = (struct env_var){
		.layer = *layer,
		.secret = secret && var->value,
		.name = e->text,
		.value = var->value ? e->text + name_len : NULL,
	};
	return e;
}

static void entry_free(struct entry *e)
{
	explicit_bzero(e->text, e->len);
	free(e);
}

static bool in_layer(const struct entry *e, const struct env_layer *layer)
{
	return e->var.layer.scope == layer->scope && e->var.layer.target == layer->target;
}

static int by_strength(const void *a, const void *b)
{
	const struct env_var *x = &(*(struct entry *const *)a)->var;
	const struct env_var *y = &(*(struct entry *const *)b)->var;
	int order = strcmp(x->name, y->name);

	if (!order)
		order = (int)x->layer.scope - (int)y->layer.scope;
	return order ? order : (int)x->layer.target - (int)y->layer.target;
}

/* They lie in one array: of a name that comes twice, the later one is behind. */
static int by_place(const void *a, const void *b)
{
	const struct var *x = *(const struct var *const *)a, *y = *(const struct var *const *)b;
	int order = strcmp(x->name, y->name);

	return order ? order : (x > y) - (x < y);
}

size_t env_sort_vars(const struct vars *vars, const struct var **sorted)
{
	size_t n = 0;

	for (size_t i = 0; i < vars->n; i++)
		sorted[i] = &vars->at[i];
	qsort(sorted, vars->n, sizeof(*sorted), by_place);
	for (size_t i = 0; i < vars->n; i++) {
		n -= n && strcmp(sorted[n - 1]->name, sorted[i]->name) == 0;
		sorted[n++] = sorted[i];
	}
	return n;
}

static int name_is(const void *name, const void *var)
{
	return strcmp(name, (*(const struct var *const *)var)->name);
}

/* Does E make room for the N variables of NEW? */
static bool gives_way(const struct entry *e, const struct env_layer *layer, bool replace,
	const struct var **new, size_t n)
{
	return in_layer(e, layer) &&
	       (replace || (n && bsearch(e->var.name, new, n, sizeof(struct var *), name_is)));
}

/* The N entries of NEW in one array with room for those that stay.  NULL: no memory. */
static struct entry **make_entries(
	const struct env_layer *layer, const struct var **new, size_t n, size_t total, bool secret)
{
	struct entry **at = malloc(MAX(total, 1) * sizeof(struct entry *));

	for (size_t i = 0; at && i < n; i++) {
		at[i] = entry_new(layer, new[i], secret);
		if (at[i])
			continue;
		while (i-- > 0)
			entry_free(at[i]);
		free((void *)at);
		at = NULL;
	}
	return at;
}

static int set_sorted(const struct env_layer *layer, const struct var **new, size_t n, bool replace,
	bool secret, struct env_change *change)
{
	size_t stay = 0, bytes = 0, total;
	struct entry **at;

	for (size_t i = 0; i < n; i++)
		bytes += var_bytes(new[i]->name, new[i]->value);
	for (size_t i = 0; i < store.n; i++) {
		if (gives_way(store.at[i], layer, replace, new, n))
			continue;
		stay++;
		bytes += store.at[i]->len;
	}
	total = stay + n;
	if (bytes > ENV_BYTES_MAX || total > ENV_VARS_MAX)
		return ERR_LIMIT;
	at = make_entries(layer, new, n, total, secret);
	if (!at)
		return -ENOMEM;
	*change = (struct env_change){0};
	for (size_t i = 0; i < n; i++)
		*(new[i]->value ? &change->set : &change->masked) += 1;
	change->removed = store.n - stay;
	stay = n;
	for (size_t i = 0; i < store.n; i++) {
		if (gives_way(store.at[i], layer, replace, new, n))
			entry_free(store.at[i]);
		else
			at[stay++] = store.at[i];
	}
	free((void *)store.at);
	qsort((void *)at, total, sizeof(*at), by_strength);
	store.at = at;
	store.n = total;
	store.bytes = bytes;
	return 0;
}

int env_store_set(const struct env_layer *layer, const struct vars *vars, bool replace, bool secret,
	struct env_change *change)
{
	const struct var **sorted = malloc(MAX(vars->n, 1) * sizeof(*sorted));
	int err;

	if (!sorted)
		return -ENOMEM;
	err = set_sorted(layer, sorted, env_sort_vars(vars, sorted), replace, secret, change);
	free((void *)sorted);
	return err;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

ssize_t env_store_unset(const struct env_layer *layer, const struct strs *names)
{
	const char **sorted = malloc(MAX(names->n, 1) * sizeof(*sorted));
	size_t stay = 0, removed;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < names->n; i++)
		sorted[i] = names->at[i];
	qsort((void *)sorted, names->n, sizeof(*sorted), by_text);
	for (size_t i = 0; i < store.n; i++) {
		struct entry *e = store.at[i];

		if (in_layer(e, layer) &&
			bsearch(&e->var.name, sorted, names->n, sizeof(*sorted), by_text)) {
			store.bytes -= e->len;
			entry_free(e);
		} else {
			store.at[stay++] = e;
		}
	}
	free((void *)sorted);
	removed = store.n - stay;
	store.n = stay;
	return (ssize_t)removed;
}

void env_store_each(void (*fn)(const struct env_var *var, void *ctx), void *ctx)
{
	for (size_t i = 0; i < store.n; i++)
		fn(&store.at[i]->var, ctx);
}

static bool applies(const struct env_var *var, enum env_target kind, bool agent)
{
	enum env_target target = var->layer.target;

	return target == ENV_ALL || target == kind || (agent && target == ENV_AGENT);
}

void env_store_resolve(enum env_target kind, bool agent,
	void (*fn)(const struct env_var *var, void *ctx), void *ctx)
{
	const struct env_var *best = NULL;

	for (size_t i = 0; i < store.n; i++) {
		const struct env_var *var = &store.at[i]->var;

		if (best && strcmp(best->name, var->name) != 0) {
			fn(best, ctx);
			best = NULL;
		}
		if (applies(var, kind, agent))
			best = var;
	}
	if (best)
		fn(best, ctx);
}

size_t env_store_bytes(void)
{
	return store.bytes;
}

size_t env_store_count(void)
{
	return store.n;
}
