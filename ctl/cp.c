/* ctl/cp.c - guestctl cp: copy files within the guest */
#include <getopt.h>

#include "ctl/relocate.h"
#include "ctl/remote.h"

static const struct option options[] = {
	{"recursive", no_argument, NULL, 'r'},
	{0},
};

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct relocate r = {.method = "fs.copy", .from_key = "from", .to_key = "to"};
	bool keep = false, recursive = false;
	int option;

	while ((option = getopt_long(argc, argv, "nrTu:", options, NULL)) != -1) {
		if (option == 'n')
			keep = true;
		else if (option == 'r')
			recursive = true;
		else if (option == 'T')
			r.exact = true;
		else if (option == 'u')
			r.user = optarg;
		else
			return ctl_bad_option(ctl, argv);
	}
	if (keep)
		params_bool(&r.more, "overwrite", false);
	params_flag(&r.more, "recursive", recursive);
	return relocate(ctl, argc, argv, &r);
}

COMMAND(cp) = {
	.name = "cp",
	.usage = "[-r] [-n] [-T] [-u USER] FROM… TO",
	.doc = "copy files within the guest",
	.options =
		"  -r, --recursive   directories with all that is in them\n"
		"  -n            fail where TO is there already\n"
		"  -T            TO is the copy itself, also where it is a directory\n" USER_OPTION,
	.run = run,
};
