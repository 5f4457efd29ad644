/* ctl/manifest.c - guestctl manifest: what a tree of the guest holds, with a digest of each file */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "ctl/ask.h"
#include "ctl/json.h"
#include "ctl/remote.h"
#include "ctl/report.h"
#include "ctl/text.h"

enum { OPT_IGNORE = 256 };

static const struct option options[] = {
	{"ignore", required_argument, NULL, OPT_IGNORE},
	{0},
};

/* DIGEST MODE SIZE PATH -> TARGET */
static void print(const struct val *entry)
{
	const struct val *sha256 = val_get(entry, "sha256"), *target = val_get(entry, "target");
	uint64_t mode = 0, size = 0;

	val_uint(val_get(entry, "mode"), &mode);
	val_uint(val_get(entry, "size"), &size);
	if (sha256)
		text_val(stdout, sha256);
	else
		printf("%-64s", "-");
	printf("  ");
	text_val(stdout, val_get(entry, "type"));
	printf("  %04" PRIo64 "  %" PRIu64 "  ", mode, size);
	text_val(stdout, val_get(entry, "path"));
	if (target) {
		printf(" -> ");
		text_val(stdout, target);
	}
	putchar('\n');
}

static int take(void *ctx, const struct client_msg *msg)
{
	const struct ctl *ctl = ctx;
	const struct val *entries;

	if (msg->type != MSG_EVENT)
		return 0;
	entries = val_get(msg->event, "entries");
	for (size_t i = 0; entries && i < val_count(entries); i++) {
		if (ctl->json)
			json_write(stdout, val_at(entries, i), false);
		else
			print(val_at(entries, i));
	}
	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return errno ? -errno : -EIO;
}

/* The digest of all of it, as `hash` has it. */
static void print_sum(const struct val *result)
{
	text_val(stdout, val_get(result, "sha256"));
	printf("  ");
	text_val(stdout, val_get(result, "files"));
	printf(" files  ");
	text_val(stdout, val_get(result, "bytes"));
	printf(" bytes\n");
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	char **ignore = xcalloc((size_t)argc, sizeof(char *));
	struct params p = {0};
	const struct val *result;
	size_t n_ignore = 0;
	int option, status = 0;

	while (!status && (option = getopt_long(argc, argv, "u:", options, NULL)) != -1) {
		if (option == 'u')
			params_text(&p, "user", optarg);
		else if (option == OPT_IGNORE)
			ignore[n_ignore++] = optarg;
		else
			status = ctl_bad_option(ctl, argv);
	}
	if (!status && argc == optind)
		status = ctl_usage(ctl, "one path of the guest at least");
	if (!status) {
		params_texts(&p, "ignore", ignore, n_ignore);
		params_texts(&p, "paths", argv + optind, (size_t)(argc - optind));
		status = ask_stream(ctl, "tar.manifest", &p, take, ctl, &result);
	}
	free(ignore);
	if (status)
		return status;
	if (ctl->json)
		json_write(stdout, result, false);
	else
		print_sum(result);
	return report_skipped(ctl, result);
}

COMMAND(manifest) = {
	.name = "manifest",
	.usage = "[-u USER] [--ignore GLOB]… PATH…",
	.doc = "list files and directories of the guest, with the SHA-256 of each file",
	.options =
		"  --ignore GLOB   leaves out what matches, and all below it; may be repeated\n" USER_OPTION,
	.run = run,
};
