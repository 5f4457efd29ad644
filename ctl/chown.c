/* ctl/chown.c - guestctl chown: whom files of the guest belong to */
#include <getopt.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/json.h"
#include "ctl/remote.h"
#include "ctl/report.h"

struct give {
	const char *user, *owner;
	bool recursive;
};

static const struct option options[] = {
	{"recursive", no_argument, NULL, 'R'},
	{0},
};

static int one(struct ctl *ctl, const char *path, void *ctx)
{
	const struct give *give = ctx;
	struct params p = {0};
	const struct val *result;
	int status;

	params_text(&p, "path", path);
	params_text(&p, "user", give->user);
	params_text(&p, "owner", give->owner);
	params_flag(&p, "recursive", give->recursive);
	status = ask(ctl, "fs.chown", &p, &result);
	if (!status && ctl->json)
		json_write(stdout, result, false);
	return status ? status : report_skipped(ctl, result);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct give give = {0};
	int option;

	while ((option = getopt_long(argc, argv, "Ru:", options, NULL)) != -1) {
		if (option == 'R')
			give.recursive = true;
		else if (option == 'u')
			give.user = optarg;
		else
			return ctl_bad_option(ctl, argv);
	}
	if (argc - optind < 2)
		return ctl_usage(ctl, "an owner, and one path at least");
	give.owner = argv[optind++];
	return remote_each(ctl, argc - optind, argv + optind, one, &give);
}

COMMAND(chown) = {
	.name = "chown",
	.usage = "[-R] [-u USER] USER[:GROUP] PATH…",
	.doc = "set the owner of files of the guest",
	.options = "  -R, --recursive   of all below, too\n" USER_OPTION,
	.run = run,
};
