/*
 * ctl/exec.c - guestctl exec: a command in the guest, as if it ran here
 */
#include "ctl/command.h"
#include "ctl/follow.h"
#include "ctl/spawn.h"

static void params(void *ctx, struct enc *e)
{
	spawn_encode(ctx, e);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct spawn spawn;
	int status = spawn_parse(ctl, argc, argv, &spawn);
	struct follow f = {
		.method = "proc.exec",
		.params = params,
		.ctx = &spawn,
		.input = spawn.input || spawn.tty,
		.pty = spawn.tty,
		.escape = spawn.escape,
		.window = spawn.window,
	};

	if (!status && !spawn.n_argv)
		status = ctl_usage(ctl, "nothing to run");
	if (!status)
		status = follow_run(ctl, &f);
	spawn_fini(&spawn);
	return status;
}

COMMAND(exec) = {
	.name = "exec",
	.usage = "[-i] [-t] " SPAWN_USAGE " [--escape C] [--] ARG…",
	.doc = "run a command and exit as it did",
	.options = "  -i            pass standard input on\n"
		   "  -t            on a terminal of its own, which ours becomes\n" SPAWN_OPTIONS
			   FOLLOW_ESCAPE,
	.run = run,
};
