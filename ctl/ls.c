/* ctl/ls.c - guestctl ls: what is in directories of the guest */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/entry.h"
#include "ctl/json.h"
#include "ctl/remote.h"
#include "ctl/report.h"
#include "ctl/table.h"
#include "ctl/text.h"

struct ls {
	const struct ctl *ctl;
	bool all, details, several;
	const char *user;
	struct table *table; /* with details */
	struct entries_json json;
};

static int parse(const struct ctl *ctl, int argc, char **argv, struct ls *ls)
{
	int option;

	while ((option = getopt_long(argc, argv, "alu:", (const struct option[]){{0}}, NULL)) !=
		-1) {
		if (option == 'a')
			ls->all = true;
		else if (option == 'l')
			ls->details = true;
		else if (option == 'u')
			ls->user = optarg;
		else
			return ctl_bad_option(ctl, argv);
	}
	ls->several = argc - optind > 1;
	return 0;
}

static int show(void *ctx, const struct val *entry)
{
	struct ls *ls = ctx;

	errno = 0;
	if (ls->ctl->json) {
		entries_json_add(&ls->json, entry);
	} else if (ls->table) {
		entry_row(ls->table, entry, "name");
	} else {
		text_val(stdout, val_get(entry, "name"));
		putchar('\n');
	}
	if (!ferror(stdout))
		return 0;
	return errno ? -errno : -EIO;
}

static int take(void *ctx, const struct client_msg *msg)
{
	return msg->type == MSG_EVENT ? entries_each(msg->event, show, ctx) : 0;
}

/* PATH itself, which is no directory. */
static int list_single(struct ctl *ctl, const char *path, struct ls *ls)
{
	struct params p = {0};
	const struct val *entry;
	int status;

	params_text(&p, "path", path);
	params_text(&p, "user", ls->user);
	status = ask(ctl, "fs.stat", &p, &entry);
	if (status)
		return status;
	if (ls->details && !ctl->json) {
		struct table *t = entry_table();

		entry_row(t, entry, "path");
		table_print(t);
	} else if (ctl->json) {
		entries_json_add(&ls->json, entry);
		entries_json_end(&ls->json, NULL);
	} else {
		text_val(stdout, val_get(entry, "path"));
		putchar('\n');
	}
	return 0;
}

static int list(struct ctl *ctl, const char *path, void *ctx)
{
	struct ls *ls = ctx;
	struct params p = {.except = "ENOTDIR"};
	const struct val *result;
	int status;

	params_text(&p, "path", path);
	params_text(&p, "user", ls->user);
	params_bool(&p, "hidden", ls->all);
	params_flag(&p, "stream", true);
	ls->json = (struct entries_json){0};
	ls->table = ls->details && !ctl->json ? entry_table() : NULL;
	if (ls->several && !ctl->json) {
		text_clean(stdout, path, strlen(path));
		puts(":");
	}
	status = ask_stream(ctl, "fs.list", &p, take, ls, &result);
	if (ls->table)
		table_print(ls->table);
	if (!status && !result)
		return list_single(ctl, path, ls);
	if (ctl->json && (!status || ls->json.any))
		entries_json_end(&ls->json, result);
	return status ? status : report_skipped(ctl, result);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct ls ls = {.ctl = ctl};
	int status = parse(ctl, argc, argv, &ls);

	return status ? status : remote_each(ctl, argc - optind, argv + optind, list, &ls);
}

COMMAND(ls) = {
	.name = "ls",
	.usage = "[-a] [-l] [-u USER] PATH…",
	.doc = "list directories of the guest",
	.options = "  -a            names that begin with a dot, too\n"
		   "  -l            with mode, owner, size and time\n" USER_OPTION,
	.run = run,
};
