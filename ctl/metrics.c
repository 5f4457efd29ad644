/* ctl/metrics.c - guestctl metrics: how the guest does, a line for each number */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/json.h"
#include "ctl/parse.h"
#include "ctl/text.h"

/* What tells the maps of an array apart. */
static const char *const names[] = {"mount", "name"};

/* How deep the result nests, and more. */
#define DEPTH_MAX 6

struct path {
	const struct val *at[DEPTH_MAX];
	size_t n;
};

static const struct val *name_of(const struct val *map)
{
	const struct val *name = NULL;

	for (size_t i = 0; i < ARRAY_LEN(names) && !name; i++)
		name = val_get(map, names[i]);
	return name;
}

static void print_one(const struct path *path, const struct val *v)
{
	for (size_t i = 0; i < path->n; i++) {
		if (i)
			putchar('.');
		text_val(stdout, path->at[i]);
	}
	printf("  ");
	text_val(stdout, v);
	putchar('\n');
}

static void print(struct path *path, const struct val *v);

static void print_below(struct path *path, const struct val *name, const struct val *v)
{
	if (path->n == DEPTH_MAX)
		return;
	path->at[path->n++] = name;
	print(path, v);
	path->n--;
}

/* disks./.total  270553174016 */
static void print(struct path *path, const struct val *v)
{
	bool map = val_type(v) == VAL_MAP;

	if (!map && !(val_type(v) == VAL_ARRAY && val_count(v) && name_of(val_at(v, 0)))) {
		print_one(path, v);
		return;
	}
	for (size_t i = 0; i < val_count(v); i++) {
		if (!map)
			print_below(path, name_of(val_at(v, i)), val_at(v, i));
		else if (val_value(v, i) != name_of(v))
			print_below(path, val_key(v, i), val_value(v, i));
	}
}

static int show(const struct ctl *ctl, const struct val *sample)
{
	struct path path = {0};

	errno = 0;
	if (ctl->json)
		json_write(stdout, sample, false);
	else
		print(&path, sample);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return errno ? -errno : -EIO;
}

struct streaming {
	const struct ctl *ctl;
	bool any;
};

static int take(void *ctx, const struct client_msg *msg)
{
	struct streaming *s = ctx;

	if (msg->type != MSG_EVENT)
		return 0;
	if (s->any && !s->ctl->json)
		putchar('\n');
	s->any = true;
	return show(s->ctl, msg->event);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct streaming s = {.ctl = ctl};
	struct params p = {0};
	const struct val *result;
	uint64_t interval_ms;
	int option, status;

	while ((option = getopt_long(argc, argv, "+i:", (const struct option[]){{0}}, NULL)) !=
		-1) {
		if (option != 'i')
			return ctl_bad_option(ctl, argv);
		if (!parse_seconds(optarg, &interval_ms) || interval_ms < METRICS_INTERVAL_MIN)
			return ctl_usage(ctl, "-i takes seconds, 0.01 at least, not %s", optarg);
		params_uint(&p, "interval_ms", interval_ms);
	}
	if (optind < argc)
		return ctl_usage(ctl, "unexpected argument %s", argv[optind]);
	if (p.n)
		return ask_stream(ctl, "system.metrics", &p, take, &s, &result);
	status = ask(ctl, "system.metrics", &p, &result);
	if (!status && show(ctl, result))
		status = ctl_fail(ctl, "cannot write the output");
	return status;
}

COMMAND(metrics) = {
	.name = "metrics",
	.usage = "[-i SECONDS]",
	.doc = "show how the guest does: processors, memory, disks, network",
	.options = "  -i SECONDS   again and again, until Ctrl-C\n",
	.run = run,
};
