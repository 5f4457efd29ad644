/* ctl/spawn.c - options of the commands that start a process */
#include "ctl/spawn.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/parse.h"

enum { OPT_TARGET = 256, OPT_TIMEOUT, OPT_ID, OPT_LABEL, OPT_ESCAPE };

static const struct option options[] = {
	{"target", required_argument, NULL, OPT_TARGET},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"id", required_argument, NULL, OPT_ID},
	{"label", required_argument, NULL, OPT_LABEL},
	{"escape", required_argument, NULL, OPT_ESCAPE},
	{0},
};

static int take_option(const struct ctl *ctl, char **argv, struct spawn *spawn, int option)
{
	switch (option) {
	case 'i':
		spawn->input = true;
		return 0;
	case 't':
		spawn->tty = true;
		return 0;
	case 'u':
		spawn->user = optarg;
		return 0;
	case 'C':
		spawn->cwd = optarg;
		return 0;
	case 'e':
		spawn->env[spawn->n_env++] = optarg;
		if (*optarg != '=' && strchr(optarg, '='))
			return 0;
		return ctl_usage(ctl, "-e takes NAME=VALUE, not %s", optarg);
	case OPT_TARGET:
		spawn->target = optarg;
		return 0;
	case OPT_TIMEOUT:
		if (parse_seconds(optarg, &spawn->timeout_ms))
			return 0;
		return ctl_usage(ctl, "--timeout takes seconds, not %s", optarg);
	case OPT_ID:
		spawn->id = optarg;
		return 0;
	case OPT_LABEL:
		spawn->label = optarg;
		return 0;
	case OPT_ESCAPE:
		if (escape_parse(&spawn->escape, optarg))
			return 0;
		return ctl_usage(ctl, "--escape takes a character, not %s", optarg);
	default:
		return ctl_bad_option(ctl, argv);
	}
}

int spawn_parse(const struct ctl *ctl, int argc, char **argv, struct spawn *spawn)
{
	int option, status;

	*spawn = (struct spawn){.env = xcalloc((size_t)argc, sizeof(*spawn->env))};
	while ((option = getopt_long(argc, argv, "+itu:C:e:", options, NULL)) != -1) {
		status = take_option(ctl, argv, spawn, option);
		if (status)
			return status;
	}
	spawn->argv = argv + optind;
	spawn->n_argv = (size_t)(argc - optind);
	spawn->window = terminal_window();
	return 0;
}

void spawn_fini(struct spawn *spawn)
{
	free(spawn->env);
}

static size_t name_len(const char *var)
{
	return strcspn(var, "=");
}

/* Is the name of variable I given again behind it?  The last one counts. */
static bool overridden(const struct spawn *spawn, size_t i)
{
	const char *var = spawn->env[i];

	for (size_t k = i + 1; k < spawn->n_env; k++) {
		if (strncmp(var, spawn->env[k], name_len(var) + 1) == 0)
			return true;
	}
	return false;
}

static void encode_env(const struct spawn *spawn, struct enc *e)
{
	size_t n = 0, mark = enc_map_begin(e);

	for (size_t i = 0; i < spawn->n_env; i++) {
		const char *var = spawn->env[i];

		if (overridden(spawn, i))
			continue;
		enc_text(e, var, name_len(var));
		enc_text(e, var + name_len(var) + 1, strlen(var + name_len(var) + 1));
		n++;
	}
	enc_map_end(e, mark, n);
}

static size_t text(struct enc *e, const char *key, const char *value)
{
	if (value)
		enc_kv_text(e, key, value);
	return value != NULL;
}

size_t spawn_encode_common(const struct spawn *spawn, struct enc *e)
{
	size_t n = text(e, "user", spawn->user);

	n += text(e, "cwd", spawn->cwd);
	n += text(e, "target", spawn->target);
	n += text(e, "id", spawn->id);
	n += text(e, "label", spawn->label);
	if (spawn->timeout_ms) {
		enc_kv_uint(e, "timeout_ms", spawn->timeout_ms);
		n++;
	}
	if (spawn->n_env) {
		enc_str(e, "env");
		encode_env(spawn, e);
		n++;
	}
	return n;
}

size_t spawn_encode_window(const struct spawn *spawn, struct enc *e)
{
	const char *type = getenv("TERM");

	/* Without a terminal of ours, what terminals have always been. */
	enc_kv_uint(e, "rows", spawn->window.rows ? spawn->window.rows : 24);
	enc_kv_uint(e, "cols", spawn->window.cols ? spawn->window.cols : 80);
	return 2 + text(e, "term", type && *type ? type : NULL);
}

void spawn_encode(const struct spawn *spawn, struct enc *e)
{
	size_t mark = enc_map_begin(e);
	size_t n = spawn_encode_common(spawn, e) + 2;

	enc_str(e, "argv");
	enc_array(e, spawn->n_argv);
	for (size_t i = 0; i < spawn->n_argv; i++)
		enc_text(e, spawn->argv[i], strlen(spawn->argv[i]));
	if (spawn->tty) {
		size_t pty;

		enc_str(e, "pty");
		pty = enc_map_begin(e);
		enc_map_end(e, pty, spawn_encode_window(spawn, e));
	} else {
		enc_kv_bool(e, "stdin", spawn->input);
	}
	enc_map_end(e, mark, n);
}
