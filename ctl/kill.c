/* ctl/kill.c - guestctl kill: a signal for a process */
#include <getopt.h>
#include <stdio.h>

#include "ctl/command.h"
#include "ctl/json.h"
#include "ctl/relay.h"
#include "ctl/target.h"

struct kill {
	struct target target;
	const char *signal;
	const char *scope;
};

enum { OPT_LEADER = 256, OPT_TREE };

static const struct option options[] = {
	{"leader", no_argument, NULL, OPT_LEADER},
	{"tree", no_argument, NULL, OPT_TREE},
	{0},
};

static int parse(const struct ctl *ctl, int argc, char **argv, struct kill *kill)
{
	int option;

	while ((option = getopt_long(argc, argv, "+s:", options, NULL)) != -1) {
		if (option == 's')
			kill->signal = optarg;
		else if (option == OPT_LEADER)
			kill->scope = "leader";
		else if (option == OPT_TREE)
			kill->scope = "tree";
		else
			return ctl_bad_option(ctl, argv);
	}
	return target_parse(ctl, argc, argv, true, &kill->target);
}

static void params(void *ctx, struct enc *e)
{
	const struct kill *kill = ctx;

	enc_map_end(e, enc_map_begin(e), 3);
	target_encode(&kill->target, e);
	target_encode_signal(kill->signal, e);
	enc_kv_str(e, "scope", kill->scope);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct kill kill = {.signal = "TERM", .scope = "group"};
	struct relay r = {
		.method = "proc.signal",
		.params = params,
		.ctx = &kill,
		.in_fd = -1,
		.target = &kill.target,
	};
	const struct val *result;
	int status = parse(ctl, argc, argv, &kill);

	if (!status)
		status = relay_run(ctl, &r, &result);
	if (!status && ctl->json)
		json_write(stdout, result, false);
	return status;
}

COMMAND(kill) = {
	.name = "kill",
	.usage = "[-s SIG] [--leader | --tree] ID",
	.doc = "send a signal to a process group",
	.options = "  -s SIG     a name or a number; TERM where left out\n"
		   "  --leader   to the process alone\n"
		   "  --tree     to all that came of it, too\n"
		   "  ID         its id; else its pid or label\n",
	.run = run,
};
