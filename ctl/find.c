/* ctl/find.c - guestctl find: files of the guest by name and type */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/parse.h"
#include "ctl/remote.h"
#include "ctl/search.h"

enum { OPT_IGNORE = 256, OPT_LIMIT, OPT_MAX_DEPTH, OPT_NAME, OPT_TYPE };

static const struct option options[] = {
	{"ignore", required_argument, NULL, OPT_IGNORE},
	{"limit", required_argument, NULL, OPT_LIMIT},
	{"max-depth", required_argument, NULL, OPT_MAX_DEPTH},
	{"maxdepth", required_argument, NULL, OPT_MAX_DEPTH}, /* as find(1) has it */
	{"name", required_argument, NULL, OPT_NAME},
	{"type", required_argument, NULL, OPT_TYPE},
	{0},
};

/* The letters of find(1), too. */
static const char *type_name(const char *text)
{
	static const char *const types[][2] = {{"f", "file"}, {"d", "dir"}, {"l", "symlink"},
		{"p", "fifo"}, {"s", "socket"}, {"c", "char"}, {"b", "block"}};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (strcmp(text, types[i][0]) == 0)
			return types[i][1];
	}
	return text;
}

static int take_option(const struct ctl *ctl, char **argv, struct search *s, int option)
{
	uint64_t n;

	switch (option) {
	case '0':
		s->raw = true;
		return 0;
	case 'u':
		params_text(&s->p, "user", optarg);
		return 0;
	case OPT_IGNORE:
		s->ignore[s->n_ignore++] = optarg;
		return 0;
	case OPT_NAME:
		params_text(&s->p, "name", optarg);
		return 0;
	case OPT_TYPE:
		params_text(&s->p, "type", type_name(optarg));
		return 0;
	case OPT_LIMIT:
	case OPT_MAX_DEPTH:
		if (!parse_uint(optarg, UINT32_MAX, &n))
			return ctl_usage(ctl, "%s is no number", optarg);
		params_uint(&s->p, option == OPT_LIMIT ? "limit" : "max_depth", n);
		return 0;
	default:
		return ctl_bad_option(ctl, argv);
	}
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct search s = {
		.method = "fs.find",
		.ignore = xcalloc((size_t)argc, sizeof(*s.ignore)),
	};
	int option, status = 0;

	/* find(1) has its options with one dash, and behind the paths. */
	while (!status && (option = getopt_long_only(argc, argv, "0u:", options, NULL)) != -1)
		status = take_option(ctl, argv, &s, option);
	if (!status)
		status = search(ctl, argc, argv, &s);
	free(s.ignore);
	return status;
}

COMMAND(find) = {
	.name = "find",
	.usage = "PATH… [--name GLOB] [--type T] [--max-depth N] [--ignore GLOB]… [--limit N] [-0] "
		 "[-u USER]",
	.doc = "find files of the guest by name and type",
	.options =
		"  --name GLOB     whose name is like this\n"
		"  --type T        file, dir, symlink, fifo, socket, char or block, or f, d, l, …\n"
		"  --max-depth N   not deeper than N\n"
		"  --ignore GLOB   leave these out, as in a .gitignore; again for more\n"
		"  --limit N       not more than N; 10000 where left out\n"
		"  -0              paths as they are, with a NUL behind each\n" USER_OPTION,
	.run = run,
};
