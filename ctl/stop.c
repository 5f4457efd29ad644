/* ctl/stop.c - guestctl stop: end a process and all that came of it, and say how it ended */
#include <getopt.h>
#include <stdio.h>

#include "ctl/command.h"
#include "ctl/ended.h"
#include "ctl/json.h"
#include "ctl/parse.h"
#include "ctl/relay.h"
#include "ctl/target.h"

struct stop {
	struct target target;
	const char *signal; /* NULL: left out */
	uint64_t grace_ms;
	bool grace;
};

enum { OPT_GRACE = 256 };

static const struct option options[] = {
	{"signal", required_argument, NULL, 's'},
	{"grace", required_argument, NULL, OPT_GRACE},
	{0},
};

static int parse(const struct ctl *ctl, int argc, char **argv, struct stop *stop)
{
	int option;

	while ((option = getopt_long(argc, argv, "+s:", options, NULL)) != -1) {
		if (option == 's')
			stop->signal = optarg;
		else if (option != OPT_GRACE)
			return ctl_bad_option(ctl, argv);
		else if (!parse_seconds(optarg, &stop->grace_ms))
			return ctl_usage(ctl, "--grace takes seconds, not %s", optarg);
		stop->grace = stop->grace || option == OPT_GRACE;
	}
	return target_parse(ctl, argc, argv, true, &stop->target);
}

static void params(void *ctx, struct enc *e)
{
	const struct stop *stop = ctx;
	size_t n = 1, mark = enc_map_begin(e);

	target_encode(&stop->target, e);
	if (stop->signal) {
		target_encode_signal(stop->signal, e);
		n++;
	}
	if (stop->grace) {
		enc_kv_uint(e, "grace_ms", stop->grace_ms);
		n++;
	}
	enc_map_end(e, mark, n);
}

static void print(const struct val *ended)
{
	ended_print(stdout, ended);
	putchar('\n');
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct stop stop = {0};
	struct relay r = {
		.method = "proc.stop",
		.params = params,
		.ctx = &stop,
		.in_fd = -1,
		.target = &stop.target,
	};
	const struct val *result;
	int status = parse(ctl, argc, argv, &stop);

	if (!status)
		status = relay_run(ctl, &r, &result);
	if (status)
		return status;
	if (ctl->json)
		json_write(stdout, result, false);
	else if (val_type(result) == VAL_MAP)
		print(result);
	for (size_t i = 0; !ctl->json && val_type(result) == VAL_ARRAY && i < val_count(result);
		i++)
		print(val_at(result, i));
	return STATUS_OK;
}

COMMAND(stop) = {
	.name = "stop",
	.usage = "[-s SIG] [--grace S] ID",
	.doc = "end a process and all that it started",
	.options =
		"  -s, --signal SIG   ask with this signal; TERM where left out\n"
		"  --grace S          kill what is left after S seconds; 5 where left out\n"
		"  ID                 its id; else its pid, or the label of all that are to end\n",
	.run = run,
};
