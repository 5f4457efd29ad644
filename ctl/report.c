/* ctl/report.c - errors on stderr: a line for people, an object with --json */
#include "ctl/report.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/json.h"
#include "ctl/terminal.h"
#include "ctl/text.h"

static void prefix(const struct ctl *ctl)
{
	fprintf(stderr, "guestctl: ");
	if (ctl->command)
		fprintf(stderr, "%s: ", ctl->command->name);
}

static void line(const struct ctl *ctl, const char *message)
{
	prefix(ctl);
	text_clean(stderr, message, strlen(message));
	fputs(terminal_is_raw() ? "\r\n" : "\n", stderr);
}

int report(const struct ctl *ctl, int status, const char *code, const char *message)
{
	if (ctl->json)
		json_write_error(stderr, code, message);
	else
		line(ctl, message);
	return status;
}

void report_note(const struct ctl *ctl, const char *fmt, ...)
{
	char message[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (!ctl->json)
		line(ctl, message);
}

void report_gap(const struct ctl *ctl, const struct val *event)
{
	uint64_t lost;

	if (val_uint(val_get(event, "lost"), &lost))
		report_note(ctl, "%" PRIu64 " bytes of its output are gone", lost);
}

int ctl_error(const struct ctl *ctl, const struct val *error)
{
	const struct val *stage = val_get(error, "stage");

	if (ctl->json) {
		json_write(stderr, error, false);
		return STATUS_FAILED;
	}
	prefix(ctl);
	text_val(stderr, val_get(error, "code"));
	if (stage) {
		fprintf(stderr, " (");
		text_val(stderr, stage);
		fprintf(stderr, ")");
	}
	fprintf(stderr, ": ");
	text_val(stderr, val_get(error, "message"));
	fprintf(stderr, "\n");
	return STATUS_FAILED;
}

int ctl_lost(const struct ctl *ctl)
{
	return report(ctl, STATUS_UNREACHABLE, "unreachable", client_why(ctl->client));
}

int ctl_fail(const struct ctl *ctl, const char *fmt, ...)
{
	char message[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	return report(ctl, STATUS_FAILED, "failed", message);
}

int ctl_usage(const struct ctl *ctl, const char *fmt, ...)
{
	char message[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	report(ctl, STATUS_USAGE, "usage", message);
	if (!ctl->json && ctl->command)
		fprintf(stderr, "usage: guestctl %s %s\n", ctl->command->name, ctl->command->usage);
	return STATUS_USAGE;
}

int ctl_bad_option(const struct ctl *ctl, char **argv)
{
	/* A short option may stand in the middle of a word; of a long one getopt tells no name. */
	if (optopt > 0 && optopt < 128)
		return ctl_usage(ctl, "-%c: no such option, or its value is missing", optopt);
	return ctl_usage(ctl, "%s: no such option, or its value is missing", argv[optind - 1]);
}

int report_skipped(const struct ctl *ctl, const struct val *result)
{
	const struct val *skipped = val_get(result, "skipped");
	size_t n = val_type(skipped) == VAL_ARRAY ? val_count(skipped) : 0;
	uint64_t total = n;

	val_uint(val_get(result, "skipped_total"), &total);
	for (size_t i = 0; i < n && !ctl->json; i++) {
		const struct val *error = val_get(val_at(skipped, i), "error");

		prefix(ctl);
		fprintf(stderr, "left out ");
		text_val(stderr, val_get(val_at(skipped, i), "path"));
		fprintf(stderr, ": ");
		text_val(stderr, val_get(error, "message"));
		fprintf(stderr, "\n");
	}
	if (total > n)
		report_note(ctl, "left out %" PRIu64 " more", total - n);
	return total ? STATUS_FAILED : STATUS_OK;
}
