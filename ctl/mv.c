/* ctl/mv.c - guestctl mv: move or rename files within the guest */
#include <getopt.h>

#include "ctl/relocate.h"
#include "ctl/remote.h"

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct relocate r = {.method = "fs.move", .from_key = "from", .to_key = "to"};
	bool keep = false;
	int option;

	while ((option = getopt_long(argc, argv, "nTu:", (const struct option[]){{0}}, NULL)) !=
		-1) {
		if (option == 'n')
			keep = true;
		else if (option == 'T')
			r.exact = true;
		else if (option == 'u')
			r.user = optarg;
		else
			return ctl_bad_option(ctl, argv);
	}
	if (keep)
		params_bool(&r.more, "overwrite", false);
	return relocate(ctl, argc, argv, &r);
}

COMMAND(mv) = {
	.name = "mv",
	.usage = "[-n] [-T] [-u USER] FROM… TO",
	.doc = "move or rename files within the guest",
	.options = "  -n            fail where TO is there already\n"
		   "  -T            TO is the new name, also where it is a directory\n" USER_OPTION,
	.run = run,
};
