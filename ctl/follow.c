/* ctl/follow.c - a process in the guest on our own descriptors, up to its end */
#include "ctl/follow.h"

#include <string.h>
#include <unistd.h>

#include "ctl/ended.h"
#include "ctl/report.h"
#include "ctl/text.h"

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

static void hear(struct follow *f, const struct val *event)
{
	const struct val *type = val_get(event, "type");
	const struct val *info = val_get(event, "info");

	if (text_is(type, "started")) {
		begin(f, event);
	} else if (text_is(type, "attached")) {
		val_bool(val_get(info, "pty"), &f->pty);
		begin(f, info);
	} else if (text_is(type, "gap")) {
		report_gap(f->ctl, event);
	}
}

static int take(void *ctx, const struct client_msg *msg)
{
	if (msg->type == MSG_EVENT)
		hear(ctx, msg->event);
	if (msg->type != MSG_DATA)
		return 0;
	return relay_write(msg->channel == 2 ? STDERR_FILENO : STDOUT_FILENO, msg->data, msg->len);
}

static void params(void *ctx, struct enc *e)
{
	const struct follow *f = ctx;

	f->params(f->ctx, e);
}

int follow_run(struct ctl *ctl, struct follow *f)
{
	const struct val *ended;
	int status;

	f->ctl = ctl;
	f->id[0] = '\0';
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
	};
	/* Right behind the request where that cannot fail for want of a process or a terminal. */
	if (f->input && !f->pty && !f->target)
		f->relay.in_fd = STDIN_FILENO;
	status = relay_run(ctl, &f->relay, &ended);
	if (status)
		return status;
	if (f->relay.left) {
		report_note(ctl, "detached: %s goes on", *f->id ? f->id : "the process");
		return STATUS_OK;
	}
	return ended_status(ctl, ended);
}
