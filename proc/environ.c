/* proc/environ.c - the environment of a new process */
#include "proc/environ.h"

#include <stdlib.h>
#include <string.h>

#include "env/env.h"
#include "proc/inbox.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* PATH, HOME, USER, LOGNAME, SHELL, TERM, GUESTD_EVENTS. */
#define N_BASE 7

/* A variable and how strong it is: of one name the last that was added counts. */
struct named {
	const char *name, *value; /* no value: it is not to be there */
	size_t order;
};

struct unsorted {
	struct named *at;
	size_t n;
};

static void add(struct unsorted *p, const char *name, const char *value)
{
	p->at[p->n] = (struct named){name, value, p->n};
	p->n++;
}

static void add_layered(const struct env_var *var, void *ctx)
{
	add(ctx, var->name, var->value);
}

static void add_base(struct unsorted *p, const struct spec *spec, const struct account *account)
{
	add(p, "PATH", DEFAULT_PATH);
	add(p, "HOME", account->home);
	add(p, "USER", account->name);
	add(p, "LOGNAME", account->name);
	add(p, "SHELL", account->shell);
	if (spec->pty.given)
		add(p, "TERM", spec->pty.term);
	if (inbox_path())
		add(p, "GUESTD_EVENTS", inbox_path());
}

static int by_name(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (x->order > y->order) - (x->order < y->order);
}

static const char *join(const struct named *pair, struct arena *arena)
{
	size_t n = strlen(pair->name);
	char *s = arena_copy(arena, pair->name, n);

	/* What arena_copy placed ends with a NUL; the = goes over it. */
	ASSERT(s && arena_copy(arena, pair->value, strlen(pair->value)) == s + n + 1);
	s[n] = '=';
	return s;
}

static size_t most_pairs(const struct spec *spec)
{
	return N_BASE + env_store_count() + spec->env.n;
}

const char **environ_make(
	const struct spec *spec, const struct account *account, struct arena *arena)
{
	struct unsorted p = {.at = arena_alloc(arena, most_pairs(spec) * sizeof(*p.at))};
	const char **env = arena_alloc(arena, (most_pairs(spec) + 1) * sizeof(*env));
	size_t n = 0;

	ASSERT(p.at && env);
	add_base(&p, spec, account);
	env_resolve(env_target_of(spec->target), add_layered, &p);
	for (size_t i = 0; i < spec->env.n; i++)
		add(&p, spec->env.at[i].name, spec->env.at[i].value);
	qsort(p.at, p.n, sizeof(*p.at), by_name);
	for (size_t i = 0; i < p.n; i++) {
		bool last = i + 1 == p.n || strcmp(p.at[i].name, p.at[i + 1].name) != 0;

		if (last && p.at[i].value)
			env[n++] = join(&p.at[i], arena);
	}
	return env;
}

static size_t str_bytes(const char *s)
{
	return s ? strlen(s) + 1 : 0;
}

size_t environ_arena(const struct spec *spec)
{
	/* The names of the base, an account's strings, and what alignment costs. */
	size_t n = sizeof(DEFAULT_PATH) + sizeof(struct account) + str_bytes(spec->pty.term) +
		   str_bytes(inbox_path()) + 256;

	n += most_pairs(spec) * (sizeof(struct named) + sizeof(char *)) + env_store_bytes();
	for (size_t i = 0; i < spec->env.n; i++)
		n += str_bytes(spec->env.at[i].name) + str_bytes(spec->env.at[i].value);
	return n;
}

static void longest_path(const struct env_var *var, void *ctx)
{
	size_t *most = ctx;

	if (strcmp(var->name, "PATH") == 0)
		*most = MAX(*most, str_bytes(var->value));
}

size_t environ_path_bytes(const struct spec *spec)
{
	size_t most = sizeof(DEFAULT_PATH);

	env_store_each(longest_path, &most);
	for (size_t i = 0; i < spec->env.n; i++) {
		if (strcmp(spec->env.at[i].name, "PATH") == 0)
			most = MAX(most, str_bytes(spec->env.at[i].value));
	}
	return most;
}

const char *environ_get(const char *const *env, const char *name)
{
	size_t len = strlen(name);

	for (; *env; env++) {
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	}
	return NULL;
}
