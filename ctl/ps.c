/* ctl/ps.c - guestctl ps: the agent's processes, or all of the guest */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#include "ctl/command.h"
#include "ctl/ended.h"
#include "ctl/json.h"
#include "ctl/relay.h"
#include "ctl/table.h"
#include "ctl/text.h"

static int parse(const struct ctl *ctl, int argc, char **argv, bool *all)
{
	int option;

	while ((option = getopt(argc, argv, "+a")) != -1) {
		if (option != 'a')
			return ctl_bad_option(ctl, argv);
		*all = true;
	}
	return optind == argc ? 0 : ctl_usage(ctl, "unexpected argument %s", argv[optind]);
}

static void no_params(void *ctx, struct enc *e)
{
	(void)ctx;
	enc_nil(e);
}

static void params(void *ctx, struct enc *e)
{
	enc_map_end(e, enc_map_begin(e), 1);
	enc_kv_bool(e, "all", *(const bool *)ctx);
}

static void cell(struct table *t, const struct val *info, const char *name)
{
	FILE *f = table_cell(t);

	text_val(f, val_get(info, name));
}

static uint64_t number(const struct val *info, const char *name)
{
	uint64_t n;

	return val_uint(val_get(info, name), &n) ? n : 0;
}

/* How long ago it started: "12s", "5m", "3h", "2d". */
static void age_cell(struct table *t, const struct val *info, uint64_t now_us)
{
	static const struct {
		uint64_t seconds;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
	uint64_t started = number(info, "started_us");
	uint64_t age = now_us > started ? (now_us - started) / 1000000 : 0;
	size_t i = 0;

	while (i + 1 < ARRAY_LEN(units) && age < units[i].seconds)
		i++;
	fprintf(table_cell(t), "%" PRIu64 "%c", age / units[i].seconds, units[i].unit);
}

static void status_cell(struct table *t, const struct val *info)
{
	const struct val *ended = val_get(info, "exit");

	if (ended)
		ended_print(table_cell(t), ended);
	else
		cell(t, info, "status");
}

static struct table *own(const struct val *list, uint64_t now_us)
{
	struct table *t = table_new(7, "ID", "LABEL", "PID", "USER", "STATUS", "AGE", "COMMAND");

	for (size_t i = 0; i < val_count(list); i++) {
		const struct val *info = val_at(list, i);

		cell(t, info, "id");
		cell(t, info, "label");
		cell(t, info, "pid");
		cell(t, info, "user");
		status_cell(t, info);
		age_cell(t, info, now_us);
		cell(t, info, "argv");
	}
	return t;
}

/* The kernel's own threads have no arguments: their name, in brackets as everywhere. */
static void command_cell(struct table *t, const struct val *info)
{
	FILE *f = table_cell(t);

	if (val_count(val_get(info, "argv"))) {
		text_val(f, val_get(info, "argv"));
		return;
	}
	putc('[', f);
	text_val(f, val_get(info, "comm"));
	putc(']', f);
}

static struct table *every(const struct val *list, uint64_t now_us)
{
	struct table *t =
		table_new(9, "PID", "PPID", "UID", "STATE", "RSS", "CPU", "AGE", "ID", "COMMAND");

	for (size_t i = 0; i < val_count(list); i++) {
		const struct val *info = val_at(list, i);
		uint64_t cpu_ms = number(info, "user_ms") + number(info, "system_ms");

		cell(t, info, "pid");
		cell(t, info, "ppid");
		cell(t, info, "uid");
		cell(t, info, "state");
		fprintf(table_cell(t), "%" PRIu64 "K", number(info, "rss") / 1024);
		fprintf(table_cell(t), "%" PRIu64 ".%02" PRIu64, cpu_ms / 1000, cpu_ms % 1000 / 10);
		age_cell(t, info, now_us);
		cell(t, info, "id");
		command_cell(t, info);
	}
	return t;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	bool all = false;
	struct relay ping = {.method = "system.ping", .params = no_params, .in_fd = -1};
	struct relay r = {.method = "proc.list", .params = params, .ctx = &all, .in_fd = -1};
	const struct val *result;
	uint64_t now_us = 0; /* by the guest's clock, which may be off */
	int status = parse(ctl, argc, argv, &all);

	if (!status)
		status = relay_run(ctl, &ping, &result);
	if (!status) {
		now_us = number(result, "time_us");
		status = relay_run(ctl, &r, &result);
	}
	if (status)
		return status;
	if (ctl->json)
		json_write(stdout, result, false);
	else
		table_print(all ? every(result, now_us) : own(result, now_us));
	return STATUS_OK;
}

COMMAND(ps) = {
	.name = "ps",
	.usage = "[-a]",
	.doc = "list the agent's processes, running and ended",
	.options = "  -a   every process of the guest\n",
	.run = run,
};
