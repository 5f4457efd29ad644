/* ctl/wait.c - guestctl wait: exits when and as a process does */
#include <getopt.h>
#include <stdio.h>

#include "ctl/command.h"
#include "ctl/ended.h"
#include "ctl/json.h"
#include "ctl/parse.h"
#include "ctl/relay.h"
#include "ctl/target.h"

struct wait {
	struct target target;
	uint64_t timeout_ms; /* 0: none */
};

enum { OPT_TIMEOUT = 256 };

static const struct option options[] = {
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{0},
};

static int parse(const struct ctl *ctl, int argc, char **argv, struct wait *wait)
{
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (option != OPT_TIMEOUT)
			return ctl_bad_option(ctl, argv);
		if (!parse_seconds(optarg, &wait->timeout_ms))
			return ctl_usage(ctl, "--timeout takes seconds, not %s", optarg);
	}
	return target_parse(ctl, argc, argv, false, &wait->target);
}

static void params(void *ctx, struct enc *e)
{
	const struct wait *wait = ctx;
	size_t mark = enc_map_begin(e);

	target_encode(&wait->target, e);
	if (wait->timeout_ms)
		enc_kv_uint(e, "timeout_ms", wait->timeout_ms);
	enc_map_end(e, mark, wait->timeout_ms ? 2 : 1);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct wait wait = {0};
	struct relay r = {
		.method = "proc.wait",
		.params = params,
		.ctx = &wait,
		.in_fd = -1,
		.target = &wait.target,
	};
	const struct val *ended;
	int status = parse(ctl, argc, argv, &wait);

	if (!status)
		status = relay_run(ctl, &r, &ended);
	if (status)
		return status;
	if (ctl->json)
		json_write(stdout, ended, false);
	return ended_status(ctl, ended);
}

COMMAND(wait) = {
	.name = "wait",
	.usage = "[--timeout S] ID",
	.doc = "wait for a process and exit as it does",
	.options = "  --timeout S   fail after S seconds; the process goes on\n"
		   "  ID            its id; else its pid\n",
	.run = run,
};
