/* ctl/follow.c - a process in the guest on our own descriptors, up to its end */
#include "ctl/follow.h"

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/ended.h"
#include "ctl/report.h"
#include "ctl/text.h"

/* Microseconds: one that takes every connection and drops it is not asked in a spin. */
#define COME_BACK_PAUSE 10000u

static void resized(void *ctx)
{
	struct follow *f = ctx;
	struct window now = terminal_window();
	struct enc *e;
	uint32_t id;

	if (!f->pty || !*f->id || !now.rows)
		return;
	if (now.rows == f->window.rows && now.cols == f->window.cols)
		return;
	f->window = now;
	e = client_begin(f->ctl->client, "pty.resize", &id);
	enc_map_end(e, enc_map_begin(e), 3);
	enc_kv_text(e, "id", f->id);
	enc_kv_uint(e, "rows", now.rows);
	enc_kv_uint(e, "cols", now.cols);
	/* Its answer does not matter: the process may just have ended. */
	if (client_send(f->ctl->client))
		f->window = (struct window){0}; /* told with the next change */
}

/* The process is there: INFO names it. */
static void begin(struct follow *f, const struct val *info)
{
	const char *id;
	size_t len;
	int err;

	if (val_bytes(val_get(info, "id"), &id, &len) && len < sizeof(f->id)) {
		memcpy(f->id, id, len);
		f->id[len] = '\0';
	}
	err = f->input && f->pty ? terminal_raw() : 0;
	if (err)
		report_note(f->ctl, "cannot set the terminal raw: %s", strerror(-err));
	if (f->input)
		f->relay.in_fd = STDIN_FILENO;
	resized(f);
}

static void skip(struct follow *f, const struct val *gap)
{
	uint64_t channel, offset;

	if (val_uint(val_get(gap, "channel"), &channel) && (channel == 1 || channel == 2) &&
		val_uint(val_get(gap, "offset"), &offset))
		f->at[channel - 1] = offset;
}

static void hear(struct follow *f, const struct val *event)
{
	const struct val *type = val_get(event, "type");
	const struct val *info = val_get(event, "info");

	if (text_is(type, "started")) {
		begin(f, event);
	} else if (text_is(type, "attached")) {
		val_bool(val_get(info, "pty"), &f->pty);
		(void)val_uint(val_get(event, "stdout_offset"), &f->at[0]);
		(void)val_uint(val_get(event, "stderr_offset"), &f->at[1]);
		begin(f, info);
	} else if (text_is(type, "gap")) {
		report_gap(f->ctl, event);
		skip(f, event);
	}
}

static int take(void *ctx, const struct client_msg *msg)
{
	struct follow *f = ctx;

	if (msg->type == MSG_EVENT)
		hear(f, msg->event);
	if (msg->type != MSG_DATA)
		return 0;
	f->at[msg->channel == 2] += msg->len;
	return relay_write(msg->channel == 2 ? STDERR_FILENO : STDOUT_FILENO, msg->data, msg->len);
}

static void params(void *ctx, struct enc *e)
{
	const struct follow *f = ctx;

	f->params(f->ctx, e);
}

static void again_params(void *ctx, struct enc *e)
{
	const struct follow *f = ctx;

	enc_map_end(e, enc_map_begin(e), 3);
	enc_kv_text(e, "id", f->id);
	enc_kv_uint(e, "stdout_from", f->at[0]);
	enc_kv_uint(e, "stderr_from", f->at[1]);
}

/* The end that a signal asked for, of a process that is only attached.  0 or an exit status. */
static int stop(struct follow *f)
{
	struct client_msg msg;
	uint32_t id;
	struct enc *e = client_begin(f->ctl->client, "proc.stop", &id);

	enc_map_end(e, enc_map_begin(e), 1);
	enc_kv_text(e, "id", f->id);
	if (client_send(f->ctl->client) ||
		client_response(f->ctl->client, id, ANSWER_TIMEOUT_MS, &msg))
		return ctl_lost(f->ctl);
	return 0;
}

/* The connection was lost, as by a snapshot: the process goes on, and so do we, where we were. */
static int come_back(struct follow *f, const struct val **ended)
{
	struct ctl *ctl = f->ctl;
	uint64_t seen = f->at[0] + f->at[1], until = clock_mono_us() + 1000 * ctl->wait_ms;
	int status;

	do {
		if (f->at[0] + f->at[1] != seen) {
			seen = f->at[0] + f->at[1];
			until = clock_mono_us() + 1000 * ctl->wait_ms;
		} else if (clock_mono_us() > until) {
			return ctl_lost(ctl); /* whoever answers there, nothing comes of it */
		}
		usleep(COME_BACK_PAUSE);
		client_close(ctl->client);
		ctl->client = NULL;
		f->relay.method = "proc.attach";
		f->relay.params = again_params;
		f->relay.target = NULL;
		f->relay.in_fd = -1;
		status = relay_run(ctl, &f->relay, ended);
	} while (f->relay.lost);
	if (f->relay.signal && !f->leave && ctl->client) {
		int err = stop(f);

		return err ? err : status;
	}
	return status;
}

int follow_run(struct ctl *ctl, struct follow *f)
{
	const struct val *ended;
	int status;

	f->ctl = ctl;
	f->id[0] = '\0';
	f->at[0] = f->at[1] = 0;
	f->relay = (struct relay){
		.method = f->method,
		.params = params,
		.take = take,
		.resized = resized,
		.ctx = f,
		.in_fd = -1,
		.target = f->target,
		.escape = f->escape,
		.leave = f->leave,
		.returns = ctl->wait_ms > 0,
	};
	/* Right behind the request where that cannot fail for want of a process or a terminal. */
	if (f->input && !f->pty && !f->target)
		f->relay.in_fd = STDIN_FILENO;
	status = relay_run(ctl, &f->relay, &ended);
	if (f->relay.lost)
		status = *f->id ? come_back(f, &ended) : ctl_lost(ctl);
	if (status)
		return status;
	if (f->relay.left) {
		report_note(ctl, "detached: %s goes on", *f->id ? f->id : "the process");
		return STATUS_OK;
	}
	return ended_status(ctl, ended);
}
