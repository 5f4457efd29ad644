/* ctl/grep.c - guestctl grep: lines in files of the guest */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/parse.h"
#include "ctl/remote.h"
#include "ctl/search.h"

enum { OPT_IGNORE = 256, OPT_LIMIT };

static const struct option options[] = {
	{"ignore", required_argument, NULL, OPT_IGNORE},
	{"ignore-case", no_argument, NULL, 'i'},
	{"limit", required_argument, NULL, OPT_LIMIT},
	{0},
};

static int take_option(const struct ctl *ctl, char **argv, struct search *s, int option)
{
	uint64_t n;

	switch (option) {
	case 'i':
		params_flag(&s->p, "ignore_case", true);
		return 0;
	case 'e':
		params_text(&s->p, "pattern", optarg);
		return 0;
	case 'E': /* as it is anyway; habits of many */
	case 'n':
	case 'r':
		return 0;
	case 'u':
		params_text(&s->p, "user", optarg);
		return 0;
	case OPT_IGNORE:
		s->ignore[s->n_ignore++] = optarg;
		return 0;
	case OPT_LIMIT:
		if (!parse_uint(optarg, UINT32_MAX, &n))
			return ctl_usage(ctl, "%s is no number", optarg);
		params_uint(&s->p, "limit", n);
		return 0;
	default:
		return ctl_bad_option(ctl, argv);
	}
}

static bool has_pattern(const struct params *p)
{
	for (size_t i = 0; i < p->n; i++) {
		if (strcmp(p->list[i].key, "pattern") == 0)
			return true;
	}
	return false;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct search s = {
		.method = "fs.grep",
		.ignore = xcalloc((size_t)argc, sizeof(*s.ignore)),
	};
	int option, status = 0;

	while (!status && (option = getopt_long(argc, argv, "Ee:inru:", options, NULL)) != -1)
		status = take_option(ctl, argv, &s, option);
	if (!status && !has_pattern(&s.p) && optind < argc)
		params_text(&s.p, "pattern", argv[optind++]);
	if (!status)
		status = search(ctl, argc, argv, &s);
	free(s.ignore);
	return status;
}

COMMAND(grep) = {
	.name = "grep",
	.usage = "[-i] [--ignore GLOB]… [--limit N] [-u USER] PATTERN|-e PATTERN PATH…",
	.doc = "find lines in files of the guest, and in all below directories",
	.options = "  -i, --ignore-case   upper and lower case are the same\n"
		   "  -e PATTERN      one that may begin with a dash\n"
		   "  -E, -n, -r      as it is anyway\n"
		   "  --ignore GLOB   leave these files out, as in a .gitignore; again for more\n"
		   "  --limit N       not more than N lines; 1000 where left out\n" USER_OPTION
		   "  PATTERN         a regular expression as of grep -E\n",
	.run = run,
};
