/* ctl/transfer.c - what put and get have in common: options, and what came of it */
#include "ctl/transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/report.h"

void transfer_fail(struct transfer *t, const char *fmt, ...)
{
	char message[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	progress_clear(&t->progress);
	report(t->ctl, STATUS_FAILED, "failed", message);
	t->failed++;
}

void transfer_error(struct transfer *t, const struct val *error)
{
	progress_clear(&t->progress);
	ctl_error(t->ctl, error);
	t->failed++;
}

void transfer_ended(struct transfer *t, int err, const char *path, const struct val *error)
{
	if (err == -EPIPE && !t->flight.status)
		t->flight.status = STATUS_SIGNALED + SIGPIPE; /* nobody reads what we print */
	else if (err)
		transfer_fail(t, "%s: %s", path, strerror(-err));
	else if (error && !t->flight.status)
		transfer_error(t, error);
	/* Otherwise it was canceled or lost with all the others, and that is said once. */
}

int transfer_begin(struct transfer *t, const char *name, uint64_t total)
{
	int status = flight_begin(&t->flight, t->ctl);

	if (status)
		return status;
	progress_start(&t->progress, t->ctl, name, total, !t->quiet);
	t->flight.tick = t->progress.shown ? progress_tick : NULL;
	t->flight.ctx = &t->progress;
	return 0;
}

int transfer_end(struct transfer *t)
{
	int status = flight_end(&t->flight);

	progress_end(&t->progress, status != 0 || (t->failed && !t->bytes));
	return status;
}

int transfer_result(struct transfer *t, int status)
{
	if (!status && t->failed)
		status = STATUS_FAILED;
	if (t->ctl->json && !status_final(status))
		printf("{\"files\":%" PRIu64 ",\"directories\":%" PRIu64 ",\"symlinks\":%" PRIu64
		       ",\"bytes\":%" PRIu64 ",\"failed\":%" PRIu64 "}\n",
			t->files, t->directories, t->symlinks, t->bytes, t->failed);
	return status;
}
