/* ctl/chmod.c - guestctl chmod: permissions of files of the guest */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/mode.h"
#include "ctl/json.h"
#include "ctl/remote.h"
#include "ctl/report.h"
#include "ctl/text.h"

struct change {
	const char *user, *text;
	bool recursive, octal;
	uint64_t mode;
};

static const struct option options[] = {
	{"recursive", no_argument, NULL, 'R'},
	{0},
};

/* What the symbolic text makes of PATH's mode.  0 or an exit status. */
static int resolve(struct ctl *ctl, const char *path, const struct change *change, uint64_t *mode)
{
	struct params p = {0};
	const struct val *entry;
	unsigned bits;
	int status;

	params_text(&p, "path", path);
	params_text(&p, "user", change->user);
	params_flag(&p, "follow", true);
	status = ask(ctl, "fs.stat", &p, &entry);
	if (status)
		return status;
	if (!val_uint(val_get(entry, "mode"), mode))
		return ctl_fail(ctl, "the agent does not say the mode of %s", path);
	bits = (unsigned)*mode & 07777;
	mode_change(change->text, text_is(val_get(entry, "type"), "dir"), &bits);
	*mode = bits;
	return 0;
}

static int one(struct ctl *ctl, const char *path, void *ctx)
{
	const struct change *change = ctx;
	uint64_t mode = change->mode;
	struct params p = {0};
	const struct val *result;
	int status = change->octal ? 0 : resolve(ctl, path, change, &mode);

	if (status)
		return status;
	params_text(&p, "path", path);
	params_text(&p, "user", change->user);
	params_uint(&p, "mode", mode);
	params_flag(&p, "recursive", change->recursive);
	status = ask(ctl, "fs.chmod", &p, &result);
	if (!status && ctl->json)
		json_write(stdout, result, false);
	return status ? status : report_skipped(ctl, result);
}

/* Is it a mode as "-x", which getopt would take for an option? */
static bool takes_away(const char *arg)
{
	return arg && arg[0] == '-' && arg[1] && strchr("rwxXst", arg[1]);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct change change = {0};
	unsigned any = 0;
	int option;

	while (!takes_away(argv[MAX(optind, 1)]) &&
		(option = getopt_long(argc, argv, "+Ru:", options, NULL)) != -1) {
		if (option == 'R')
			change.recursive = true;
		else if (option == 'u')
			change.user = optarg;
		else
			return ctl_bad_option(ctl, argv);
	}
	optind = MAX(optind, 1);
	if (argc - optind < 2)
		return ctl_usage(ctl, "a mode, and one path at least");
	change.text = argv[optind++];
	change.octal = mode_parse(change.text, &change.mode);
	if (!change.octal && !mode_change(change.text, false, &any))
		return ctl_usage(ctl, "%s is no mode: as 644, u+x or go=rX", change.text);
	if (!change.octal && change.recursive)
		return ctl_usage(ctl, "with -R the mode is octal");
	return remote_each(ctl, argc - optind, argv + optind, one, &change);
}

COMMAND(chmod) = {
	.name = "chmod",
	.usage = "[-R] [-u USER] MODE PATH…",
	.doc = "set the permissions of files of the guest",
	.options = "  -R, --recursive   of all below, too\n" USER_OPTION
		   "  MODE          octal; without -R also as in chmod(1): u+x, go=rX\n",
	.run = run,
};
