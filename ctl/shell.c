/* ctl/shell.c - guestctl shell: a login shell in the guest on our terminal */
#include "ctl/command.h"
#include "ctl/follow.h"
#include "ctl/spawn.h"

static void params(void *ctx, struct enc *e)
{
	const struct spawn *spawn = ctx;
	size_t mark = enc_map_begin(e);
	size_t n = spawn_encode_common(spawn, e);

	enc_map_end(e, mark, n + spawn_encode_window(spawn, e));
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct spawn spawn;
	int status = spawn_parse(ctl, argc, argv, &spawn);
	struct follow f = {
		.method = "pty.open",
		.params = params,
		.ctx = &spawn,
		.input = true,
		.pty = true,
		.escape = spawn.escape,
		.window = spawn.window,
	};

	if (!status && spawn.n_argv)
		status = ctl_usage(
			ctl, "unexpected argument %s; exec -t runs a command", spawn.argv[0]);
	if (!status)
		status = follow_run(ctl, &f);
	spawn_fini(&spawn);
	return status;
}

COMMAND(shell) = {
	.name = "shell",
	.usage = SPAWN_USAGE " [--escape C]",
	.doc = "a login shell on our terminal",
	.options = SPAWN_OPTIONS FOLLOW_ESCAPE,
	.run = run,
};
