/* ctl/mkdir.c - guestctl mkdir: directories in the guest */
#include <getopt.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/json.h"
#include "ctl/mode.h"
#include "ctl/remote.h"

struct make {
	const char *user, *owner;
	bool fresh, mode_given;
	uint64_t mode;
};

static const struct option options[] = {
	{"mode", required_argument, NULL, 'm'},
	{"new", no_argument, NULL, 'n'},
	{"owner", required_argument, NULL, 'o'},
	{"parents", no_argument, NULL, 'p'},
	{0},
};

static int take_option(const struct ctl *ctl, char **argv, struct make *make, int option)
{
	switch (option) {
	case 'm':
		make->mode_given = true;
		if (mode_parse(optarg, &make->mode))
			return 0;
		return ctl_usage(ctl, "--mode takes an octal number, not %s", optarg);
	case 'n':
		make->fresh = true;
		return 0;
	case 'o':
		make->owner = optarg;
		return 0;
	case 'p':
		return 0; /* always so; a habit of many */
	case 'u':
		make->user = optarg;
		return 0;
	default:
		return ctl_bad_option(ctl, argv);
	}
}

static int one(struct ctl *ctl, const char *path, void *ctx)
{
	const struct make *make = ctx;
	struct params p = {0};
	const struct val *result;
	int status;

	params_text(&p, "path", path);
	params_text(&p, "user", make->user);
	params_text(&p, "owner", make->owner);
	if (make->mode_given)
		params_uint(&p, "mode", make->mode);
	if (make->fresh)
		params_bool(&p, "exist_ok", false);
	status = ask(ctl, "fs.mkdir", &p, &result);
	if (!status && ctl->json)
		json_write(stdout, result, false);
	return status;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct make make = {0};
	int option, status = 0;

	while (!status && (option = getopt_long(argc, argv, "m:no:pu:", options, NULL)) != -1)
		status = take_option(ctl, argv, &make, option);
	return status ? status : remote_each(ctl, argc - optind, argv + optind, one, &make);
}

COMMAND(mkdir) = {
	.name = "mkdir",
	.usage = "[-p] [-n] [-m MODE] [-o USER[:GROUP]] [-u USER] PATH…",
	.doc = "make directories, and those above them",
	.options = "  -n, --new     fail where there is one already\n"
		   "  -p, --parents   as it is anyway\n"
		   "  -m, --mode MODE   755 where left out\n"
		   "  -o, --owner USER[:GROUP]   what is created belongs to them\n" USER_OPTION,
	.run = run,
};
