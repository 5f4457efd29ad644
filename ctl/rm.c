/* ctl/rm.c - guestctl rm: delete files of the guest */
#include <getopt.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/json.h"
#include "ctl/remote.h"
#include "ctl/report.h"

struct delete
{
	const char *user;
	bool recursive, force;
};

static const struct option options[] = {
	{"force", no_argument, NULL, 'f'},
	{"recursive", no_argument, NULL, 'r'},
	{0},
};

static int one(struct ctl *ctl, const char *path, void *ctx)
{
	const struct delete *delete = ctx;
	struct params p = {0};
	const struct val *result;
	int status;

	params_text(&p, "path", path);
	params_text(&p, "user", delete->user);
	params_flag(&p, "recursive", delete->recursive);
	params_flag(&p, "missing_ok", delete->force);
	status = ask(ctl, "fs.delete", &p, &result);
	if (!status && ctl->json)
		json_write(stdout, result, false);
	return status ? status : report_skipped(ctl, result);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct delete delete = {0};
	int option;

	while ((option = getopt_long(argc, argv, "fru:", options, NULL)) != -1) {
		if (option == 'f')
			delete.force = true;
		else if (option == 'r')
			delete.recursive = true;
		else if (option == 'u')
			delete.user = optarg;
		else
			return ctl_bad_option(ctl, argv);
	}
	return remote_each(ctl, argc - optind, argv + optind, one, &delete);
}

COMMAND(rm) = {
	.name = "rm",
	.usage = "[-r] [-f] [-u USER] PATH…",
	.doc = "delete files, and with -r directories, of the guest",
	.options = "  -r, --recursive   directories with all that is in them\n"
		   "  -f, --force       what is not there is fine\n" USER_OPTION,
	.run = run,
};
