/* ctl/haul.c - one call that moves a whole archive, under a progress line */
#include "ctl/haul.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "ctl/report.h"
#include "ctl/text.h"

static struct haul *haul_of(struct task *task)
{
	return CONTAINER_OF(task, struct haul, task);
}

static int take(struct task *task, const char *bytes, size_t len)
{
	struct haul *h = haul_of(task);

	progress_add(&h->progress, len);
	return h->out_fd >= 0 ? relay_write(h->out_fd, bytes, len) : 0;
}

static void fed(struct task *task, size_t len)
{
	progress_add(&haul_of(task)->progress, len);
}

static void on_event(struct task *task, const struct val *event)
{
	if (text_is(val_get(event, "type"), "progress"))
		val_uint(val_get(event, "files"), &haul_of(task)->progress.files);
}

/* What an import left behind. */
static void tell_written(const struct haul *h, const struct val *error)
{
	uint64_t n;

	if (val_uint(val_get(val_get(error, "data"), "written_total"), &n) && n)
		report_note(h->ctl, "%" PRIu64 " entries before it are there", n);
}

static void done(struct task *task, const struct val *error, const struct val *result)
{
	struct haul *h = haul_of(task);

	val_uint(val_get(result, "files"), &h->progress.files);
	progress_end(&h->progress, !result);
	if (task->err == -EPIPE) {
		h->status = STATUS_SIGNALED + SIGPIPE; /* nobody reads what we print */
	} else if (task->err) {
		h->status = ctl_fail(h->ctl, "%s: %s", h->name, strerror(-task->err));
	} else if (error && !h->flight.status) {
		h->status = ctl_error(h->ctl, error);
		tell_written(h, error);
	} else if (result && h->result) {
		h->status = h->result(h, result);
	}
}

int haul(struct haul *h)
{
	int status = flight_begin(&h->flight, h->ctl);

	if (status)
		return status;
	h->task = (struct task){
		.take = take, .fed = fed, .event = on_event, .done = done, .in_fd = h->in_fd};
	progress_start(&h->progress, h->ctl, h->name, h->total, !h->quiet);
	h->flight.tick = h->progress.shown ? progress_tick : NULL;
	h->flight.ctx = &h->progress;
	params_encode(&h->p, flight_call(&h->flight, &h->task, h->method));
	if (flight_send(&h->flight, &h->task))
		h->status = ctl_fail(h->ctl, "%s", client_why(h->ctl->client));
	status = flight_end(&h->flight);
	progress_end(&h->progress, true);
	return status ? status : h->status;
}
