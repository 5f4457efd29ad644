/* ctl/freeze.c - guestctl freeze: everything stands still, for a snapshot */
#include <getopt.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/json.h"
#include "ctl/parse.h"
#include "ctl/text.h"

enum { OPT_FILESYSTEMS = 256, OPT_NO_PROCESSES, OPT_TIMEOUT };

static const struct option options[] = {
	{"filesystems", no_argument, NULL, OPT_FILESYSTEMS},
	{"no-processes", no_argument, NULL, OPT_NO_PROCESSES},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{0},
};

static int parse(const struct ctl *ctl, int argc, char **argv, struct params *p)
{
	uint64_t ms;
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case OPT_FILESYSTEMS:
			params_flag(p, "filesystems", true);
			break;
		case OPT_NO_PROCESSES:
			params_bool(p, "processes", false);
			break;
		case OPT_TIMEOUT:
			if (!parse_seconds(optarg, &ms))
				return ctl_usage(ctl, "--timeout takes seconds");
			params_uint(p, "timeout_ms", ms);
			break;
		default:
			return ctl_bad_option(ctl, argv);
		}
	}
	return optind == argc ? 0 : ctl_usage(ctl, "unexpected argument %s", argv[optind]);
}

static void print(const struct val *result)
{
	const struct val *list = val_get(result, "filesystems");

	printf("processes ");
	text_val(stdout, val_get(result, "processes"));
	putchar('\n');
	for (size_t i = 0; i < val_count(list); i++) {
		printf("filesystem ");
		text_val(stdout, val_at(list, i));
		putchar('\n');
	}
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct params p = {.n = 0};
	const struct val *result;
	int status = parse(ctl, argc, argv, &p);

	if (!status)
		status = ask(ctl, "system.freeze", &p, &result);
	if (!status && ctl->json)
		json_write(stdout, result, false);
	else if (!status)
		print(result);
	return status;
}

COMMAND(freeze) = {
	.name = "freeze",
	.usage = "[--filesystems] [--no-processes] [--timeout S]",
	.doc = "stop processes and file systems for a snapshot",
	.options = "  --filesystems    file systems on disks, too\n"
		   "  --no-processes   leave those running\n"
		   "  --timeout S      thaw by itself after so long; 60 where left out\n",
	.run = run,
};
