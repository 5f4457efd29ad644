/* ctl/forget.c - guestctl forget: a process that has ended, and its output */
#include "ctl/command.h"
#include "ctl/relay.h"

static void params(void *ctx, struct enc *e)
{
	enc_map_end(e, enc_map_begin(e), 1);
	enc_kv_text(e, "id", ctx);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct relay r = {.method = "proc.remove", .params = params, .in_fd = -1};
	const struct val *result;

	if (argc != 2)
		return ctl_usage(ctl, "one process, which has ended");
	r.ctx = argv[1];
	return relay_run(ctl, &r, &result);
}

COMMAND(forget) = {
	.name = "forget",
	.usage = "ID",
	.doc = "forget a process that has ended",
	.options = "  ID   its id\n",
	.run = run,
};
