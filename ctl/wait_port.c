/* ctl/wait_port.c - guestctl wait-port: until something accepts connections on a port */
#include <getopt.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/json.h"
#include "ctl/parse.h"
#include "ctl/text.h"

enum { OPT_HOST = 256, OPT_ID, OPT_TIMEOUT };

static const struct option options[] = {
	{"host", required_argument, NULL, OPT_HOST},
	{"id", required_argument, NULL, OPT_ID},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{0},
};

static int parse(const struct ctl *ctl, int argc, char **argv, struct params *p)
{
	uint64_t timeout_ms, port;
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case OPT_HOST:
			params_text(p, "host", optarg);
			break;
		case OPT_ID:
			params_text(p, "id", optarg);
			break;
		case OPT_TIMEOUT:
			if (!parse_seconds(optarg, &timeout_ms))
				return ctl_usage(ctl, "--timeout takes seconds, not %s", optarg);
			params_uint(p, "timeout_ms", timeout_ms);
			break;
		default:
			return ctl_bad_option(ctl, argv);
		}
	}
	if (optind + 1 != argc)
		return ctl_usage(ctl, "give one port");
	if (!parse_uint(argv[optind], 65535, &port) || !port)
		return ctl_usage(ctl, "a port is a number from 1 to 65535, not %s", argv[optind]);
	params_uint(p, "port", port);
	return 0;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct params p = {0};
	const struct val *result;
	int status = parse(ctl, argc, argv, &p);

	if (!status)
		status = ask(ctl, "net.wait", &p, &result);
	if (status)
		return status;
	if (ctl->json) {
		json_write(stdout, result, false);
	} else {
		text_val(stdout, val_get(result, "address"));
		putchar('\n');
	}
	return STATUS_OK;
}

COMMAND(wait_port) = {
	.name = "wait-port",
	.usage = "[--host ADDR] [--id ID] [--timeout S] PORT",
	.doc = "wait until something accepts connections on a port",
	.options = "  --host ADDR   at this address of the guest, not at any\n"
		   "  --id ID       fail as soon as this process has exited\n"
		   "  --timeout S   fail after S seconds\n",
	.run = run,
};
