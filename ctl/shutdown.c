/* ctl/shutdown.c - guestctl shutdown: the end of the guest */
#include <getopt.h>

#include "ctl/ask.h"
#include "ctl/parse.h"

enum { OPT_REBOOT = 256, OPT_HALT, OPT_GRACE, OPT_FORCE };

static const struct option options[] = {
	{"reboot", no_argument, NULL, OPT_REBOOT},
	{"halt", no_argument, NULL, OPT_HALT},
	{"grace", required_argument, NULL, OPT_GRACE},
	{"force", no_argument, NULL, OPT_FORCE},
	{0},
};

static int parse(const struct ctl *ctl, int argc, char **argv, struct params *p)
{
	const char *mode = "poweroff";
	uint64_t ms;
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case OPT_REBOOT:
			mode = "reboot";
			break;
		case OPT_HALT:
			mode = "halt";
			break;
		case OPT_GRACE:
			if (!parse_seconds(optarg, &ms))
				return ctl_usage(ctl, "--grace takes seconds");
			params_uint(p, "grace_ms", ms);
			break;
		case OPT_FORCE:
			params_flag(p, "force", true);
			break;
		default:
			return ctl_bad_option(ctl, argv);
		}
	}
	params_text(p, "mode", mode);
	return optind == argc ? 0 : ctl_usage(ctl, "unexpected argument %s", argv[optind]);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct params p = {.n = 0};
	const struct val *result;
	int status = parse(ctl, argc, argv, &p);

	return status ? status : ask(ctl, "system.shutdown", &p, &result);
}

COMMAND(shutdown) = {
	.name = "shutdown",
	.usage = "[--reboot | --halt] [--grace S] [--force]",
	.doc = "end all processes and switch the guest off",
	.options = "  --reboot    start it anew instead\n"
		   "  --halt      stop it instead\n"
		   "  --grace S   what processes get between TERM and KILL; 5 where left out\n"
		   "  --force     also where the agent is not PID 1\n",
	.run = run,
};
