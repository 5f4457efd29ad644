/* ctl/hash.c - guestctl hash: digests of files and directories of the guest */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ask.h"
#include "ctl/json.h"
#include "ctl/remote.h"
#include "ctl/report.h"
#include "ctl/text.h"

static int one(struct ctl *ctl, const char *path, void *ctx)
{
	struct params p = {0};
	const struct val *result;
	int status;

	params_text(&p, "path", path);
	params_text(&p, "user", ctx);
	status = ask(ctl, "fs.hash", &p, &result);
	if (status)
		return status;
	if (ctl->json) {
		json_write(stdout, result, false);
		return report_skipped(ctl, result);
	}
	text_val(stdout, val_get(result, "sha256"));
	fputs("  ", stdout);
	text_clean(stdout, path, strlen(path));
	putchar('\n');
	return report_skipped(ctl, result);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	char *user = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "u:", (const struct option[]){{0}}, NULL)) != -1) {
		if (option != 'u')
			return ctl_bad_option(ctl, argv);
		user = optarg;
	}
	return remote_each(ctl, argc - optind, argv + optind, one, user);
}

COMMAND(hash) = {
	.name = "hash",
	.usage = "[-u USER] PATH…",
	.doc = "print the SHA-256 of files, and of directories as a whole",
	.options = USER_OPTION,
	.run = run,
};
