/* ctl/watch.c - guestctl watch: changes of the guest's files, a line each */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/json.h"
#include "ctl/parse.h"
#include "ctl/remote.h"
#include "ctl/text.h"

enum { OPT_COALESCE = 256, OPT_EVENT, OPT_FLAT, OPT_IGNORE };

static const struct option options[] = {
	{"coalesce", required_argument, NULL, OPT_COALESCE},
	{"event", required_argument, NULL, OPT_EVENT},
	{"flat", no_argument, NULL, OPT_FLAT},
	{"ignore", required_argument, NULL, OPT_IGNORE},
	{0},
};

struct watch {
	struct params p;
	char **ignore, **events;
	size_t n_ignore, n_events;
};

/* A slash behind directories. */
static void print_path(const struct val *event, const char *key)
{
	bool dir = false;

	val_bool(val_get(event, "dir"), &dir);
	text_val(stdout, val_get(event, key));
	if (dir)
		putchar('/');
}

/* "renamed OLD -> NEW", "created PATH", and of what has no path all there is to say. */
static void print(const struct val *event)
{
	const struct val *type = val_get(event, "type");

	text_val(stdout, type);
	if (val_get(event, "old_path")) {
		putchar(' ');
		print_path(event, "old_path");
		printf(" ->");
	}
	if (val_get(event, "path")) {
		putchar(' ');
		print_path(event, "path");
	} else {
		for (size_t i = 0; i < val_count(event); i++) {
			if (val_value(event, i) == type)
				continue;
			putchar(' ');
			text_val(stdout, val_key(event, i));
			putchar('=');
			text_val(stdout, val_value(event, i));
		}
	}
	putchar('\n');
}

static int take(void *ctx, const struct client_msg *msg)
{
	const struct ctl *ctl = ctx;

	if (msg->type != MSG_EVENT)
		return 0;
	errno = 0;
	if (ctl->json)
		json_write(stdout, msg->event, false);
	else
		print(msg->event);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return errno ? -errno : -EIO;
}

static int take_option(const struct ctl *ctl, char **argv, struct watch *w, int option)
{
	uint64_t n;

	switch (option) {
	case 'u':
		params_text(&w->p, "user", optarg);
		return 0;
	case OPT_IGNORE:
		w->ignore[w->n_ignore++] = optarg;
		return 0;
	case OPT_EVENT:
		w->events[w->n_events++] = optarg;
		return 0;
	case OPT_FLAT:
		params_bool(&w->p, "recursive", false);
		return 0;
	case OPT_COALESCE:
		if (!parse_uint(optarg, UINT32_MAX, &n))
			return ctl_usage(ctl, "%s is no number of milliseconds", optarg);
		params_uint(&w->p, "coalesce_ms", n);
		return 0;
	default:
		return ctl_bad_option(ctl, argv);
	}
}

static int watch(struct ctl *ctl, int argc, char **argv, struct watch *w)
{
	const struct val *result;
	int option, status = 0;

	while (!status && (option = getopt_long(argc, argv, "u:", options, NULL)) != -1)
		status = take_option(ctl, argv, w, option);
	if (status)
		return status;
	if (optind == argc)
		return ctl_usage(ctl, "what is to be watched?");
	if (optind + 1 < argc)
		return ctl_usage(ctl, "unexpected argument %s", argv[optind + 1]);
	params_text(&w->p, "path", argv[optind]);
	params_texts(&w->p, "ignore", w->ignore, w->n_ignore);
	params_texts(&w->p, "events", w->events, w->n_events);
	return ask_stream(ctl, "fs.watch", &w->p, take, ctl, &result);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct watch w = {
		.ignore = xcalloc((size_t)argc, sizeof(*w.ignore)),
		.events = xcalloc((size_t)argc, sizeof(*w.events)),
	};
	int status = watch(ctl, argc, argv, &w);

	free(w.ignore);
	free(w.events);
	return status;
}

COMMAND(watch) = {
	.name = "watch",
	.usage = "[--ignore GLOB]… [--event TYPE]… [--flat] [--coalesce MS] [-u USER] PATH",
	.doc = "show what changes below a directory of the guest until Ctrl-C",
	.options =
		"  --ignore GLOB   leave these out, as in a .gitignore; again for more\n"
		"  --event TYPE    created, modified, deleted, renamed or attributes alone; again for\n"
		"                  more\n"
		"  --flat          the directory itself, not those in it\n"
		"  --coalesce MS   put what happens to a file within MS together; 20 where left out\n" USER_OPTION,
	.run = run,
};
