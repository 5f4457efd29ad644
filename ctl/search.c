/* ctl/search.c - what find and grep have in common */
#include "ctl/search.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "ctl/json.h"
#include "ctl/remote.h"
#include "ctl/report.h"
#include "ctl/text.h"

struct run {
	const struct ctl *ctl;
	const struct search *search;
};

static void print(const struct val *event, bool raw)
{
	const struct val *path = val_get(event, "path"), *line = val_get(event, "line");
	const char *bytes;
	size_t len;

	if (raw && !isatty(STDOUT_FILENO)) {
		if (val_bytes(path, &bytes, &len))
			fwrite(bytes, 1, len, stdout);
		putchar('\0');
		return;
	}
	text_val(stdout, path);
	if (line) {
		putchar(':');
		text_val(stdout, line);
		putchar(':');
	}
	if (val_bytes(val_get(event, "text"), &bytes, &len))
		text_lines(stdout, bytes, len);
	putchar('\n');
}

static int take(void *ctx, const struct client_msg *msg)
{
	const struct run *run = ctx;

	if (msg->type != MSG_EVENT)
		return 0;
	errno = 0;
	if (run->ctl->json)
		json_write(stdout, msg->event, true);
	else if (text_is(val_get(msg->event, "type"), "match"))
		print(msg->event, run->search->raw);
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return errno ? -errno : -EIO;
}

static int one(struct ctl *ctl, const char *path, void *ctx)
{
	struct search *s = ctx;
	struct run run = {.ctl = ctl, .search = s};
	const struct val *result;
	uint64_t matches = 0;
	bool truncated = false;
	int status;

	params_text(&s->p, "path", path);
	status = ask_stream(ctl, s->method, &s->p, take, &run, &result);
	if (status)
		return status;
	if (ctl->json)
		json_write(stdout, result, false);
	val_bool(val_get(result, "truncated"), &truncated);
	val_uint(val_get(result, "matches"), &matches);
	if (truncated)
		report_note(ctl, "only the first %" PRIu64 " in %s; see --limit", matches, path);
	return report_skipped(ctl, result);
}

int search(struct ctl *ctl, int argc, char **argv, struct search *s)
{
	params_texts(&s->p, "ignore", s->ignore, s->n_ignore);
	return remote_each(ctl, argc - optind, argv + optind, one, s);
}
