/* proc/spec.c - the spawn description, and what it means to a child */
#include "proc/spec.h"

#include <stdio.h>
#include <string.h>

#include "env/env.h"
#include "proc/environ.h"
#include "proto/limits.h"

static const char *const disconnect_choices[] = {"keep", "kill", NULL};

static const char *check_id(const char *value)
{
	return *value && strlen(value) <= 128 ? NULL : "of 1 to 128 bytes";
}

static const char *check_term(const char *value)
{
	return *value && strlen(value) <= 64 ? NULL : "of 1 to 64 bytes";
}

const struct arg pty_table[] = {
	ARG(struct spec_pty, rows, .dflt = 24, .min = 1, .max = TERMINAL_MAX),
	ARG(struct spec_pty, cols, .dflt = 80, .min = 1, .max = TERMINAL_MAX),
	ARG(struct spec_pty, term, .dflt_str = "xterm-256color", .check = check_term),
	ARG_END,
};

static const struct arg limits_table[] = {
	ARG_NAMED(struct spec_limits, values.memory, "memory", .min = 1),
	ARG_NAMED(struct spec_limits, values.cpu_ms_per_s, "cpu_ms_per_s", .min = 1),
	ARG_NAMED(struct spec_limits, values.pids, "pids", .min = 1),
	ARG_END,
};

const struct arg spec_table[] = {
	ARG(struct spec, argv),
	ARG(struct spec, cmd),
	ARG(struct spec, cwd, .check = arg_abs_path),
	ARG(struct spec, env),
	ARG(struct spec, user),
	ARG(struct spec, target, .check = env_check_target),
	ARG_NAMED(struct spec, want_stdin, "stdin"),
	ARG(struct spec, timeout_ms),
	ARG(struct spec, grace_ms, .dflt = 5000),
	ARG(struct spec, on_disconnect, .choices = disconnect_choices),
	ARG(struct spec, id, .check = check_id),
	ARG(struct spec, label),
	ARG(struct spec, ring, .dflt = RING_DEFAULT, .max = RING_MAX),
	ARG(struct spec, rlimits),
	ARG(struct spec, nice, .min = -40, .max = 40),
	ARG(struct spec, no_new_privs),
	ARG(struct spec, login),
	ARG(struct spec, merge),
	ARG_MAP(struct spec, pty, pty_table),
	ARG_MAP(struct spec, limits, limits_table),
	ARG(struct spec, artifacts),
	ARG_END,
};

static const struct {
	const char *name;
	int resource;
} rlimit_names[] = {
	{"as", RLIMIT_AS},
	{"core", RLIMIT_CORE},
	{"cpu", RLIMIT_CPU},
	{"data", RLIMIT_DATA},
	{"fsize", RLIMIT_FSIZE},
	{"locks", RLIMIT_LOCKS},
	{"memlock", RLIMIT_MEMLOCK},
	{"msgqueue", RLIMIT_MSGQUEUE},
	{"nice", RLIMIT_NICE},
	{"nofile", RLIMIT_NOFILE},
	{"nproc", RLIMIT_NPROC},
	{"rss", RLIMIT_RSS},
	{"rtprio", RLIMIT_RTPRIO},
	{"rttime", RLIMIT_RTTIME},
	{"sigpending", RLIMIT_SIGPENDING},
	{"stack", RLIMIT_STACK},
};
BUILD_ASSERT(ARRAY_LEN(rlimit_names) <= MAX_RLIMITS);

/* "nofile", "NOFILE" and "RLIMIT_NOFILE" alike; -1 for none of them. */
static int rlimit_resource(const char *name)
{
	if (strncasecmp(name, "RLIMIT_", 7) == 0)
		name += 7;
	for (size_t i = 0; i < ARRAY_LEN(rlimit_names); i++) {
		if (strcasecmp(rlimit_names[i].name, name) == 0)
			return rlimit_names[i].resource;
	}
	return -1;
}

int spec_check(const struct spec *spec, struct failure *f)
{
	if (!spec->shell && !spec->argv.at == !spec->cmd)
		return failure_set(
			f, ERR_BAD_PARAMS, NULL, NULL, "give exactly one of argv and cmd");
	if (spec->argv.at && (spec->argv.n == 0 || !*spec->argv.at[0]))
		return failure_set(f, ERR_BAD_PARAMS, NULL, NULL, "argv names no program");
	if (spec->login && !spec->cmd)
		return failure_set(f, ERR_BAD_PARAMS, NULL, NULL, "login needs cmd");
	if (env_check_run(&spec->env, f))
		return f->err;
	if (spec->artifacts.n > MAX_ARTIFACTS)
		return failure_set(
			f, ERR_BAD_PARAMS, NULL, NULL, "more than %u artifacts", MAX_ARTIFACTS);
	for (size_t i = 0; i < spec->artifacts.n; i++) {
		if (!*spec->artifacts.at[i])
			return failure_set(
				f, ERR_BAD_PARAMS, NULL, NULL, "the path of an artifact is empty");
	}
	if (spec->rlimits.n > MAX_RLIMITS)
		return failure_set(f, ERR_BAD_PARAMS, NULL, NULL, "too many rlimits");
	for (size_t i = 0; i < spec->rlimits.n; i++) {
		if (rlimit_resource(spec->rlimits.at[i].name) < 0)
			return failure_set(f, ERR_BAD_PARAMS, NULL, NULL, "no rlimit is called %s",
				spec->rlimits.at[i].name);
	}
	return 0;
}

/* What execvp would try: the child has only to go through the list. */
static const char **make_candidates(struct arena *arena, const char *program, const char *path)
{
	size_t n = 2;
	const char **list;

	for (const char *p = path; (p = strchr(p, ':')); p++)
		n++;
	list = arena_alloc(arena, (n + 1) * sizeof(*list));
	ASSERT(list);
	n = 0;
	if (strchr(program, '/')) {
		list[n] = program;
		return list;
	}
	for (const char *dir = path; dir; dir = strchr(dir, ':') ? strchr(dir, ':') + 1 : NULL) {
		size_t len = strcspn(dir, ":");
		char *copy;

		if (len == 0) { /* an empty element is the working directory */
			list[n++] = program;
			continue;
		}
		copy = arena_copy(arena, dir, len);
		ASSERT(copy && arena_copy(arena, program, strlen(program)) == copy + len + 1);
		copy[len] = '/';
		list[n++] = copy;
	}
	return list;
}

size_t spec_arena(const struct spec *spec)
{
	size_t n = environ_arena(spec), dirs = environ_path_bytes(spec);
	size_t program = spec->argv.n ? strlen(spec->argv.at[0]) : 0;

	n += (spec->shell ? sizeof(((struct account *)0)->shell) : 0) + 128;
	/* Each candidate is a directory of PATH, a slash and the program. */
	n += dirs + (dirs / 2 + 3) * sizeof(char *);
	if (program && !strchr(spec->argv.at[0], '/'))
		n += (dirs / 2 + 2) * (program + 2);
	return n + 6 * sizeof(char *) + 256;
}

/* A relative one would be searched in whatever PATH the call has. */
static const char *shell_of(const struct account *account)
{
	return account->shell[0] == '/' ? account->shell : "/bin/sh";
}

/* "-bash": by this a shell knows that it is a login shell. */
static const char *login_name(const char *shell, struct arena *arena)
{
	const char *slash = strrchr(shell, '/'), *name = slash ? slash + 1 : shell;
	char *s = arena_alloc(arena, strlen(name) + 2);

	ASSERT(s);
	snprintf(s, strlen(name) + 2, "-%s", name);
	return s;
}

static void make_argv(const struct spec *spec, const struct account *account, struct arena *arena,
	struct spawn *s)
{
	const char **argv;
	size_t n = 0;

	if (spec->argv.at) {
		s->argv = spec->argv.at;
		return;
	}
	argv = arena_alloc(arena, 5 * sizeof(*argv));
	ASSERT(argv);
	if (spec->shell) {
		argv[0] = login_name(shell_of(account), arena);
		s->argv = argv;
		return;
	}
	argv[n++] = spec->login ? shell_of(account) : "/bin/sh";
	if (spec->login)
		argv[n++] = "-l";
	argv[n++] = "-c";
	argv[n++] = spec->cmd;
	s->argv = argv;
}

static void encode_arg(const char *arg, size_t *left, struct enc *e, bool *truncated)
{
	size_t len = strlen(arg);

	*truncated |= len > *left;
	len = MIN(len, *left);
	*left -= len;
	enc_text(e, arg, len);
}

void spec_encode_argv(
	const struct spec *spec, const char *shell, size_t max, struct enc *e, bool *truncated)
{
	const char *const line[] = {"/bin/sh", "-c", spec->cmd}, *const login[] = {shell, "-l",
									 "-c", spec->cmd};
	const char *const *argv = spec->argv.at;
	size_t n = spec->argv.n, mark;

	if (spec->cmd) {
		argv = spec->login ? login : line;
		n = spec->login ? ARRAY_LEN(login) : ARRAY_LEN(line);
	} else if (spec->shell) {
		argv = &shell;
		n = 1;
	}
	*truncated = false;
	mark = enc_array_begin(e);
	for (size_t i = 0; i < n; i++) {
		if (max == 0 && argv[i][0]) {
			*truncated = true;
			n = i;
		} else {
			encode_arg(argv[i], &max, e, truncated);
		}
	}
	enc_array_end(e, mark, n);
}

void spec_prepare(const struct spec *spec, const struct account *account, struct arena *arena,
	struct spawn *s)
{
	const char **env;
	const char *path;

	s->account = *account;
	env = environ_make(spec, &s->account, arena);
	path = environ_get(env, "PATH");
	s->envp = env;
	make_argv(spec, &s->account, arena, s);
	s->candidates = make_candidates(arena, spec->shell ? shell_of(&s->account) : s->argv[0],
		path ? path : "/bin:/usr/bin");
	s->cwd = spec->cwd ? spec->cwd : s->account.home;
	s->cwd_optional = !spec->cwd;
	s->nice = (int)spec->nice;
	s->no_new_privs = spec->no_new_privs;
	s->n_rlimits = spec->rlimits.n;
	for (size_t i = 0; i < spec->rlimits.n; i++) {
		const struct pair *p = &spec->rlimits.at[i];

		s->rlimits[i].resource = rlimit_resource(p->name);
		s->rlimits[i].limit = (struct rlimit){p->first, p->second};
	}
}
