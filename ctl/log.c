/* ctl/log.c - guestctl log: what the agent logged, a line each */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "ctl/ask.h"
#include "ctl/json.h"
#include "ctl/parse.h"
#include "ctl/report.h"
#include "ctl/text.h"

struct logging {
	const struct ctl *ctl;
	bool audit; /* those lines alone */
};

/* TIME LEVEL TEXT, the time in ours. */
static void print(const struct val *line)
{
	uint64_t us = 0;
	time_t seconds;
	struct tm tm;
	char text[40];

	val_uint(val_get(line, "time_us"), &us);
	seconds = (time_t)(us / 1000000);
	if (localtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%F %T", &tm))
		printf("%s.%03" PRIu64 " ", text, us / 1000 % 1000);
	text_val(stdout, val_get(line, "level"));
	putchar(' ');
	text_val(stdout, val_get(line, "text"));
	putchar('\n');
}

static int take(void *ctx, const struct client_msg *msg)
{
	const struct logging *l = ctx;
	bool audit = false;

	if (msg->type != MSG_EVENT)
		return 0;
	if (text_is(val_get(msg->event, "type"), "gap") && !l->ctl->json) {
		report_note(l->ctl, "lines are missing here: they came faster than they were read");
		return 0;
	}
	val_bool(val_get(msg->event, "audit"), &audit);
	if (l->audit && !audit)
		return 0;
	errno = 0;
	if (l->ctl->json)
		json_write(stdout, msg->event, false);
	else
		print(msg->event);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return errno ? -errno : -EIO;
}

enum { OPT_AUDIT = 256 };

static const struct option options[] = {
	{"audit", no_argument, NULL, OPT_AUDIT},
	{0},
};

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct logging l = {.ctl = ctl};
	struct params p = {0};
	const struct val *result;
	uint64_t tail;
	int option;

	while ((option = getopt_long(argc, argv, "+fn:", options, NULL)) != -1) {
		if (option == 'f') {
			params_flag(&p, "follow", true);
		} else if (option == OPT_AUDIT) {
			l.audit = true;
		} else if (option != 'n') {
			return ctl_bad_option(ctl, argv);
		} else if (!parse_uint(optarg, INT32_MAX, &tail)) {
			return ctl_usage(ctl, "-n takes a number of lines, not %s", optarg);
		} else {
			params_uint(&p, "tail", tail);
		}
	}
	if (optind < argc)
		return ctl_usage(ctl, "unexpected argument %s", argv[optind]);
	return ask_stream(ctl, "system.log", &p, take, &l, &result);
}

COMMAND(log) = {
	.name = "log",
	.usage = "[-f] [-n N] [--audit]",
	.doc = "show what the agent logged, and who changed what",
	.options = "  -f        go on with what follows, until Ctrl-C\n"
		   "  -n N      so many lines; 100 where left out\n"
		   "  --audit   those alone that tell of calls that changed something\n",
	.run = run,
};
