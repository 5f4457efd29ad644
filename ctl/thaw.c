/* ctl/thaw.c - guestctl thaw: everything goes on */
#include "ctl/ask.h"

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct params p = {.n = 0};
	const struct val *result;

	if (argc != 1)
		return ctl_usage(ctl, "unexpected argument %s", argv[1]);
	return ask(ctl, "system.thaw", &p, &result);
}

COMMAND(thaw) = {
	.name = "thaw",
	.usage = "",
	.doc = "let everything go on that freeze has stopped",
	.options = "",
	.run = run,
};
