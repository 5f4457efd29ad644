/* ctl/df.c - guestctl df: room on file systems of the guest */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/json.h"
#include "ctl/remote.h"
#include "ctl/table.h"
#include "ctl/text.h"

struct usage {
	const char *user;
	struct table *table;
	bool any; /* row of it */
};

static uint64_t number(const struct val *result, const char *key)
{
	uint64_t n;

	return val_uint(val_get(result, key), &n) ? n : 0;
}

static void row(struct table *t, const char *path, const struct val *result)
{
	uint64_t total = number(result, "total"), free = number(result, "free");
	uint64_t available = number(result, "available");
	uint64_t used = total > free ? total - free : 0;

	text_val(table_cell(t), val_get(result, "type"));
	text_size(table_cell(t), total);
	text_size(table_cell(t), used);
	text_size(table_cell(t), available);
	/* Of what there is for users, as df(1) counts. */
	if (used + available)
		fprintf(table_cell(t), "%.0f%%", 100 * (double)used / (double)(used + available));
	else
		fputc('-', table_cell(t));
	text_clean(table_cell(t), path, strlen(path));
}

static int one(struct ctl *ctl, const char *path, void *ctx)
{
	struct usage *usage = ctx;
	struct params p = {0};
	const struct val *result;
	int status;

	params_text(&p, "path", path);
	params_text(&p, "user", usage->user);
	status = ask(ctl, "fs.usage", &p, &result);
	if (status)
		return status;
	if (ctl->json)
		json_write(stdout, result, false);
	else
		row(usage->table, path, result);
	usage->any = !ctl->json;
	return 0;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct usage usage = {0};
	char top[] = "/", *root[] = {top};
	int option, status;

	while ((option = getopt_long(argc, argv, "u:", (const struct option[]){{0}}, NULL)) != -1) {
		if (option != 'u')
			return ctl_bad_option(ctl, argv);
		usage.user = optarg;
	}
	usage.table = table_new(6, "TYPE", "SIZE", "USED", "AVAILABLE", "USE", "PATH");
	if (optind == argc)
		status = remote_each(ctl, 1, root, one, &usage);
	else
		status = remote_each(ctl, argc - optind, argv + optind, one, &usage);
	if (usage.any)
		table_print(usage.table);
	else
		table_drop(usage.table);
	return status;
}

COMMAND(df) = {
	.name = "df",
	.usage = "[-u USER] [PATH…]",
	.doc = "show the room on the file systems of the guest",
	.options = USER_OPTION "  PATH          of its file system; / where left out\n",
	.run = run,
};
