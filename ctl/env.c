/* ctl/env.c - guestctl env: the environment that processes of the guest find */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/json.h"
#include "ctl/table.h"
#include "ctl/text.h"

struct assignment {
	const char *name;
	size_t name_len;
	char *value; /* owned; NULL: none, which masks the name */
	size_t len;
};

struct env_options {
	const char *scope, *target; /* NULL: left out */
	bool secret, replace, literal, reveal;
	struct assignment *vars; /* n_vars; owned */
	size_t n_vars;
};

enum { OPT_SCOPE = 256, OPT_TARGET, OPT_SECRET, OPT_REPLACE, OPT_LITERAL, OPT_REVEAL };

static const struct option options[] = {
	{"scope", required_argument, NULL, OPT_SCOPE},
	{"target", required_argument, NULL, OPT_TARGET},
	{"secret", no_argument, NULL, OPT_SECRET},
	{"replace", no_argument, NULL, OPT_REPLACE},
	{"literal", no_argument, NULL, OPT_LITERAL},
	{"reveal", no_argument, NULL, OPT_REVEAL},
	{0},
};

/* What each takes of the options. */
static bool fits(const char *what, int option)
{
	switch (option) {
	case OPT_SCOPE:
		return strcmp(what, "resolve") != 0;
	case OPT_TARGET:
		return true;
	case OPT_REVEAL:
		return strcmp(what, "list") == 0 || strcmp(what, "resolve") == 0;
	case OPT_LITERAL:
		return strcmp(what, "set") == 0 || strcmp(what, "resolve") == 0;
	default:
		return strcmp(what, "set") == 0;
	}
}

static int parse(
	const struct ctl *ctl, const char *what, int argc, char **argv, struct env_options *o)
{
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?' || option == ':')
			return ctl_bad_option(ctl, argv);
		if (!fits(what, option))
			return ctl_usage(ctl, "env %s has no %s", what, argv[optind - 1]);
		o->scope = option == OPT_SCOPE ? optarg : o->scope;
		o->target = option == OPT_TARGET ? optarg : o->target;
		o->secret |= option == OPT_SECRET;
		o->replace |= option == OPT_REPLACE;
		o->literal |= option == OPT_LITERAL;
		o->reveal |= option == OPT_REVEAL;
	}
	return 0;
}

/* All of FD into A, without the newline that editors leave.  0 or -errno. */
static int read_value(int fd, struct assignment *a)
{
	ssize_t n;

	a->value = xmalloc(MAX_FRAME);
	n = fd_read_all(fd, a->value, MAX_FRAME);
	if (n == MAX_FRAME)
		n = -EFBIG;
	if (n < 0)
		return (int)n;
	if (n > 0 && a->value[n - 1] == '\n')
		n--;
	a->len = (size_t)n;
	return 0;
}

/* K=V, K=@FILE, K=-, or K alone.  0 or an exit status. */
static int read_assignment(
	const struct ctl *ctl, const char *text, bool literal, struct assignment *a)
{
	const char *value = strchr(text, '=');
	int err = 0;

	*a = (struct assignment){.name = text, .name_len = strcspn(text, "=")};
	if (!value)
		return 0;
	value++;
	if (!literal && strcmp(value, "-") == 0) {
		err = read_value(STDIN_FILENO, a);
		value = "standard input";
	} else if (!literal && value[0] == '@') {
		cleanup_fd int fd = open(++value, O_RDONLY | O_CLOEXEC | O_NOCTTY);

		err = fd < 0 ? -errno : read_value(fd, a);
	} else {
		a->value = xstrdup(value);
		a->len = strlen(value);
	}
	return err ? ctl_fail(ctl, "cannot read %s: %s", value, strerror(-err)) : 0;
}

static int read_assignments(const struct ctl *ctl, int n, char **texts, struct env_options *o)
{
	int status = 0;

	o->vars = xcalloc((size_t)n + 1, sizeof(*o->vars));
	for (int i = 0; i < n && !status; i++)
		status = read_assignment(ctl, texts[i], o->literal, &o->vars[o->n_vars++]);
	return status;
}

static void forget(struct env_options *o)
{
	for (size_t i = 0; i < o->n_vars; i++) {
		if (o->vars[i].value)
			explicit_bzero(o->vars[i].value, o->vars[i].len);
		free(o->vars[i].value);
	}
	free(o->vars);
}

/* Of a name given twice, the agent takes the last. */
static void encode_vars(const struct env_options *o, const char *key, struct enc *e)
{
	enc_str(e, key);
	enc_map_end(e, enc_map_begin(e), o->n_vars);
	for (size_t i = 0; i < o->n_vars; i++) {
		const struct assignment *a = &o->vars[i];

		enc_text(e, a->name, a->name_len);
		if (a->value)
			enc_text(e, a->value, a->len);
		else
			enc_nil(e);
	}
}

static size_t encode_layer(const struct env_options *o, struct enc *e)
{
	if (o->scope)
		enc_kv_text(e, "scope", o->scope);
	if (o->target)
		enc_kv_text(e, "target", o->target);
	return (size_t)(o->scope != NULL) + (size_t)(o->target != NULL);
}

static void set_params(void *ctx, struct enc *e)
{
	const struct env_options *o = ctx;
	size_t mark = enc_map_begin(e), n = encode_layer(o, e) + 3;

	encode_vars(o, "vars", e);
	enc_kv_bool(e, "secret", o->secret);
	enc_kv_bool(e, "replace", o->replace);
	enc_map_end(e, mark, n);
}

static void resolve_params(void *ctx, struct enc *e)
{
	const struct env_options *o = ctx;
	size_t mark = enc_map_begin(e), n = encode_layer(o, e) + 2;

	encode_vars(o, "env", e);
	enc_kv_bool(e, "reveal", o->reveal);
	enc_map_end(e, mark, n);
}

static int call(struct ctl *ctl, const char *method, void (*params)(void *ctx, struct enc *e),
	struct env_options *o, const struct val **result)
{
	struct relay r = {.method = method, .params = params, .ctx = o, .in_fd = -1};

	return relay_run(ctl, &r, result);
}

static void value_cell(struct table *t, const struct val *var)
{
	const struct val *value = val_get(var, "value");
	bool yes = false;

	if (value)
		text_val(table_cell(t), value);
	else if (val_bool(val_get(var, "masked"), &yes) && yes)
		fputs("(masked)", table_cell(t));
	else
		fputs("(secret)", table_cell(t));
}

static void row(struct table *t, const struct val *name, const struct val *var)
{
	text_val(table_cell(t), name);
	text_val(table_cell(t), val_get(var, "scope"));
	text_val(table_cell(t), val_get(var, "target"));
	value_cell(t, var);
}

static int list(struct ctl *ctl, struct env_options *o)
{
	struct params p = {0};
	const struct val *result;
	struct table *t;
	int status;

	params_text(&p, "scope", o->scope);
	params_text(&p, "target", o->target);
	params_flag(&p, "reveal", o->reveal);
	status = ask(ctl, "env.list", &p, &result);
	if (status)
		return status;
	if (ctl->json) {
		json_write(stdout, result, false);
		return 0;
	}
	t = table_new(4, "NAME", "SCOPE", "TARGET", "VALUE");
	for (size_t i = 0; i < val_count(result); i++)
		row(t, val_get(val_at(result, i), "name"), val_at(result, i));
	table_print(t);
	return 0;
}

static int resolve(struct ctl *ctl, struct env_options *o)
{
	const struct val *result, *vars;
	struct table *t;
	int status = call(ctl, "env.resolve", resolve_params, o, &result);

	if (status)
		return status;
	if (ctl->json) {
		json_write(stdout, result, false);
		return 0;
	}
	vars = val_get(result, "vars");
	t = table_new(4, "NAME", "SCOPE", "TARGET", "VALUE");
	for (size_t i = 0; i < val_count(vars); i++)
		row(t, val_key(vars, i), val_value(vars, i));
	table_print(t);
	return 0;
}

static int unset(struct ctl *ctl, struct env_options *o, int n, char **names)
{
	struct params p = {0};
	const struct val *result;
	int status;

	params_text(&p, "scope", o->scope);
	params_text(&p, "target", o->target);
	params_texts(&p, "names", names, (size_t)n);
	status = ask(ctl, "env.unset", &p, &result);
	if (!status && ctl->json)
		json_write(stdout, result, false);
	return status;
}

static int set(struct ctl *ctl, struct env_options *o)
{
	const struct val *result;
	int status = call(ctl, "env.set", set_params, o, &result);

	if (!status && ctl->json)
		json_write(stdout, result, false);
	return status;
}

static int run_what(struct ctl *ctl, const char *what, int argc, char **argv, struct env_options *o)
{
	bool assigns = strcmp(what, "set") == 0 || strcmp(what, "resolve") == 0;
	int status = parse(ctl, what, argc, argv, o);

	argv += optind;
	argc -= optind;
	if (!status && assigns)
		status = read_assignments(ctl, argc, argv, o);
	if (status)
		return status;
	if (strcmp(what, "resolve") == 0)
		return resolve(ctl, o);
	if (strcmp(what, "list") == 0)
		return argc ? ctl_usage(ctl, "unexpected argument %s", argv[0]) : list(ctl, o);
	if (!argc && !o->replace)
		return ctl_usage(ctl, "env %s: of which variable?", what);
	return assigns ? set(ctl, o) : unset(ctl, o, argc, argv);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	static const char *const all[] = {"list", "set", "unset", "resolve"};
	struct env_options o = {0};
	int status;

	for (size_t i = 0; argc > 1 && i < ARRAY_LEN(all); i++) {
		if (strcmp(argv[1], all[i]) != 0)
			continue;
		status = run_what(ctl, all[i], argc - 1, argv + 1, &o);
		forget(&o);
		return status;
	}
	return ctl_usage(ctl, "env does list, set, unset or resolve");
}

COMMAND(env) = {
	.name = "env",
	.usage = "list|set|unset|resolve [OPTION]… [K=V|K]…",
	.doc = "show and change the environment that processes find",
	.options =
		"  set K=V…    of processes that start from now on; K alone masks weaker scopes,\n"
		"              K=@FILE and K=- take the value from a file or standard input,\n"
		"              without the newline at its end\n"
		"  unset K…    take them out, masks among them\n"
		"  list        what is set, layer by layer\n"
		"  resolve     what a process would find, with K=V besides, and where it comes from\n"
		"  --scope S   tenant, workspace, project or resource (resource)\n"
		"  --target T  all, sandbox, computer or agent (all); of resolve: the guest's kind\n"
		"  --secret    list and resolve do not show it\n"
		"  --replace   instead of all that the scope and target have\n"
		"  --literal   @ and - are values like any other\n"
		"  --reveal    show secrets\n",
	.run = run,
};
