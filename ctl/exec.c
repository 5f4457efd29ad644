/*
 * ctl/exec.c - guestctl exec: a command in the guest, as if it ran here
 */
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/relay.h"
#include "ctl/report.h"
#include "ctl/spawn.h"
#include "ctl/text.h"

struct exec {
	const struct ctl *ctl;
	struct spawn spawn;
};

static void params(void *ctx, struct enc *e)
{
	spawn_encode(&((struct exec *)ctx)->spawn, e);
}

/* Bytes that the agent no longer had: of a process that ran before we attached to it. */
static void note_gap(const struct ctl *ctl, const struct val *event)
{
	uint64_t lost;

	if (text_is(val_get(event, "type"), "gap") && val_uint(val_get(event, "lost"), &lost))
		report_note(ctl, "%llu bytes of its output are gone", (unsigned long long)lost);
}

static int take(void *ctx, const struct client_msg *msg)
{
	if (msg->type == MSG_EVENT)
		note_gap(((struct exec *)ctx)->ctl, msg->event);
	if (msg->type != MSG_DATA)
		return 0;
	return relay_write(msg->channel == 2 ? STDERR_FILENO : STDOUT_FILENO, msg->data, msg->len);
}

/* The exit status of a shell whose last command ended so. */
static int exit_status(const struct ctl *ctl, const struct val *ended)
{
	bool timed_out;
	int64_t n;

	if (val_bool(val_get(ended, "timed_out"), &timed_out) && timed_out)
		report_note(ctl, "stopped: the timeout was reached");
	if (val_int(val_get(ended, "code"), &n))
		return (int)n & 0xff;
	if (val_int(val_get(ended, "signal"), &n))
		return STATUS_SIGNALED + (int)n;
	return ctl_fail(ctl, "the agent did not say how the command ended");
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct exec exec = {.ctl = ctl};
	struct relay r = {
		.method = "proc.exec", .params = params, .take = take, .ctx = &exec, .in_fd = -1};
	const struct val *ended;
	int status = spawn_parse(ctl, argc, argv, &exec.spawn);

	if (exec.spawn.input)
		r.in_fd = STDIN_FILENO;
	if (!status)
		status = relay_run(ctl, &r, &ended);
	spawn_fini(&exec.spawn);
	return status ? status : exit_status(ctl, ended);
}

COMMAND(exec) = {
	.name = "exec",
	.usage = SPAWN_USAGE,
	.doc = "run a command and exit as it did",
	.options = SPAWN_OPTIONS,
	.run = run,
};
