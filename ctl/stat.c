/* ctl/stat.c - guestctl stat: all that is known of a file */
#include <getopt.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/entry.h"
#include "ctl/json.h"
#include "ctl/remote.h"

struct look {
	const char *user;
	bool follow;
};

static const struct option options[] = {
	{"follow", no_argument, NULL, 'L'},
	{0},
};

static int one(struct ctl *ctl, const char *path, void *ctx)
{
	const struct look *look = ctx;
	struct params p = {0};
	const struct val *entry;
	int status;

	params_text(&p, "path", path);
	params_text(&p, "user", look->user);
	params_flag(&p, "follow", look->follow);
	status = ask(ctl, "fs.stat", &p, &entry);
	if (status)
		return status;
	if (ctl->json)
		json_write(stdout, entry, false);
	else
		entry_print(stdout, entry);
	return 0;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct look look = {0};
	int option;

	while ((option = getopt_long(argc, argv, "Lu:", options, NULL)) != -1) {
		if (option == 'L')
			look.follow = true;
		else if (option == 'u')
			look.user = optarg;
		else
			return ctl_bad_option(ctl, argv);
	}
	return remote_each(ctl, argc - optind, argv + optind, one, &look);
}

COMMAND(stat) = {
	.name = "stat",
	.usage = "[-L] [-u USER] PATH…",
	.doc = "show type, size, mode, owner and times of files",
	.options = "  -L, --follow  of what a link leads to\n" USER_OPTION,
	.run = run,
};
