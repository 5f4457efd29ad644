/* ctl/ln.c - guestctl ln: links within the guest */
#include <getopt.h>

#include "ctl/relocate.h"
#include "ctl/remote.h"

static const struct option options[] = {
	{"symbolic", no_argument, NULL, 's'},
	{0},
};

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct relocate r = {.method = "fs.link", .from_key = "from", .to_key = "to"};
	int option;

	while ((option = getopt_long(argc, argv, "sTu:", options, NULL)) != -1) {
		if (option == 's')
			r.method = "fs.symlink";
		else if (option == 'T')
			r.exact = true;
		else if (option == 'u')
			r.user = optarg;
		else
			return ctl_bad_option(ctl, argv);
	}
	if (r.method[3] == 's') {
		r.from_key = "target";
		r.to_key = "path";
	}
	return relocate(ctl, argc, argv, &r);
}

COMMAND(ln) = {
	.name = "ln",
	.usage = "[-s] [-T] [-u USER] TARGET… PATH",
	.doc = "make links within the guest",
	.options =
		"  -s, --symbolic   to the name TARGET, instead of to the file of that name\n"
		"  -T            PATH is the link itself, also where it is a directory\n" USER_OPTION,
	.run = run,
};
