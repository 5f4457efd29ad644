/* ctl/start.c - guestctl start: a process in the background, whose id is printed */
#include <stdio.h>

#include "ctl/command.h"
#include "ctl/json.h"
#include "ctl/relay.h"
#include "ctl/spawn.h"
#include "ctl/text.h"

static void params(void *ctx, struct enc *e)
{
	spawn_encode(ctx, e);
}

static int parse(const struct ctl *ctl, int argc, char **argv, struct spawn *spawn)
{
	int status = spawn_parse(ctl, argc, argv, spawn);

	if (!status && !spawn->n_argv)
		return ctl_usage(ctl, "nothing to run");
	if (!status && spawn->escape.key)
		return ctl_usage(ctl, "--escape is for exec, shell and attach");
	return status;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct spawn spawn;
	struct relay r = {.method = "proc.start", .params = params, .ctx = &spawn, .in_fd = -1};
	const struct val *info;
	int status = parse(ctl, argc, argv, &spawn);

	if (!status)
		status = relay_run(ctl, &r, &info);
	spawn_fini(&spawn);
	if (status)
		return status;
	if (ctl->json) {
		json_write(stdout, info, false);
	} else {
		text_val(stdout, val_get(info, "id"));
		putchar('\n');
	}
	return STATUS_OK;
}

COMMAND(start) = {
	.name = "start",
	.usage = "[-i] [-t] " SPAWN_USAGE " [--] ARG…",
	.doc = "start a process in the background and print its id",
	.options = "  -i            with an input, which attach -i sends\n"
		   "  -t            on a terminal of its own\n" SPAWN_OPTIONS,
	.run = run,
};
