/* ctl/events.c - guestctl events: what happens in the guest, a line each */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "ctl/command.h"
#include "ctl/ended.h"
#include "ctl/json.h"
#include "ctl/parse.h"
#include "ctl/relay.h"
#include "ctl/text.h"

struct events {
	const struct ctl *ctl;
	uint64_t from; /* 0: what comes from now on */
};

enum { OPT_FROM = 256 };

static const struct option options[] = {
	{"from", required_argument, NULL, OPT_FROM},
	{0},
};

static int parse(const struct ctl *ctl, int argc, char **argv, struct events *events)
{
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (option != OPT_FROM)
			return ctl_bad_option(ctl, argv);
		if (!parse_uint(optarg, INT64_MAX, &events->from) || !events->from)
			return ctl_usage(ctl, "--from takes a number from 1 on, not %s", optarg);
	}
	return optind == argc ? 0 : ctl_usage(ctl, "unexpected argument %s", argv[optind]);
}

static void params(void *ctx, struct enc *e)
{
	const struct events *events = ctx;
	size_t mark = enc_map_begin(e);

	if (events->from)
		enc_kv_uint(e, "from_seq", events->from);
	enc_map_end(e, mark, events->from != 0);
}

/* SEQ TYPE, and all the rest as name=value. */
static void print(const struct val *event)
{
	const struct val *seq = val_get(event, "seq"), *type = val_get(event, "type");

	if (seq) {
		text_val(stdout, seq);
		putchar(' ');
	}
	text_val(stdout, type);
	for (size_t i = 0; i < val_count(event); i++) {
		const struct val *key = val_key(event, i), *value = val_value(event, i);

		if (value == seq || value == type)
			continue;
		putchar(' ');
		if (text_is(key, "exit")) {
			ended_print(stdout, value);
			continue;
		}
		text_val(stdout, key);
		putchar('=');
		text_val(stdout, value);
	}
	putchar('\n');
}

static int take(void *ctx, const struct client_msg *msg)
{
	const struct events *events = ctx;

	if (msg->type != MSG_EVENT)
		return 0;
	errno = 0;
	if (events->ctl->json)
		json_write(stdout, msg->event, false);
	else
		print(msg->event);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return errno ? -errno : -EIO;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct events events = {.ctl = ctl};
	struct relay r = {
		.method = "system.events",
		.params = params,
		.take = take,
		.ctx = &events,
		.in_fd = -1,
	};
	const struct val *result;
	int status = parse(ctl, argc, argv, &events);

	return status ? status : relay_run(ctl, &r, &result);
}

COMMAND(events) = {
	.name = "events",
	.usage = "[--from SEQ]",
	.doc = "show what happens in the guest until Ctrl-C",
	.options =
		"  --from SEQ   begin with the event of that number, as far back as they are kept\n",
	.run = run,
};
