/*
 * ctl/logs.c - guestctl logs: the last lines of a process, and with -f what follows them
 *
 * proc.logs says where its text ends; proc.attach goes on from there: nothing is missing between
 * the two, nothing comes twice.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/json.h"
#include "ctl/parse.h"
#include "ctl/relay.h"
#include "ctl/report.h"
#include "ctl/target.h"
#include "ctl/text.h"

struct logs {
	struct ctl *ctl;
	struct target target;
	uint64_t tail;
	bool follow;
	/* Of the answer to proc.logs: whose text it is, and where it ends. */
	char id[256];
	uint64_t from[2];
};

static int parse(const struct ctl *ctl, int argc, char **argv, struct logs *logs)
{
	int option;

	while ((option = getopt(argc, argv, "+fn:")) != -1) {
		if (option == 'f')
			logs->follow = true;
		else if (option != 'n')
			return ctl_bad_option(ctl, argv);
		else if (!parse_uint(optarg, UINT32_MAX, &logs->tail))
			return ctl_usage(ctl, "-n takes a number of lines, not %s", optarg);
	}
	return target_parse(ctl, argc, argv, true, &logs->target);
}

static void tail_params(void *ctx, struct enc *e)
{
	const struct logs *logs = ctx;

	enc_map_end(e, enc_map_begin(e), 2);
	target_encode(&logs->target, e);
	enc_kv_uint(e, "tail", logs->tail);
}

static void follow_params(void *ctx, struct enc *e)
{
	const struct logs *logs = ctx;

	enc_map_end(e, enc_map_begin(e), 3);
	enc_kv_text(e, "id", logs->id);
	enc_kv_uint(e, "stdout_from", logs->from[0]);
	enc_kv_uint(e, "stderr_from", logs->from[1]);
}

static int take(void *ctx, const struct client_msg *msg)
{
	const struct logs *logs = ctx;

	if (msg->type == MSG_EVENT && text_is(val_get(msg->event, "type"), "gap"))
		report_gap(logs->ctl, msg->event);
	if (msg->type != MSG_DATA)
		return 0;
	if (!logs->ctl->json)
		return relay_write(STDOUT_FILENO, msg->data, msg->len);
	errno = 0;
	json_write_data(stdout, msg->channel, msg->data, msg->len, true);
	if (!ferror(stdout))
		return 0;
	return errno ? -errno : -EIO;
}

/* What -f needs of the answer.  False where it is not there. */
static bool remember(struct logs *logs, const struct val *result)
{
	const char *id;
	size_t len;

	if (!val_bytes(val_get(result, "id"), &id, &len) || len >= sizeof(logs->id))
		return false;
	memcpy(logs->id, id, len);
	logs->id[len] = '\0';
	return val_uint(val_get(result, "stdout_offset"), &logs->from[0]) &&
	       val_uint(val_get(result, "stderr_offset"), &logs->from[1]);
}

static int print(const struct ctl *ctl, const struct val *result)
{
	const char *text;
	size_t len;
	int err = 0;

	if (ctl->json)
		json_write(stdout, result, true);
	else if (val_bytes(val_get(result, "text"), &text, &len))
		err = relay_write(STDOUT_FILENO, text, len);
	return err ? ctl_fail(ctl, "cannot write the output: %s", strerror(-err)) : 0;
}

static int follow(struct ctl *ctl, struct logs *logs)
{
	struct relay r = {
		.method = "proc.attach",
		.params = follow_params,
		.take = take,
		.ctx = logs,
		.in_fd = -1,
	};
	const struct val *ended;

	return relay_run(ctl, &r, &ended);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct logs logs = {.ctl = ctl, .tail = 100};
	struct relay r = {
		.method = "proc.logs",
		.params = tail_params,
		.ctx = &logs,
		.in_fd = -1,
		.target = &logs.target,
	};
	const struct val *result;
	int status = parse(ctl, argc, argv, &logs);

	if (!status)
		status = relay_run(ctl, &r, &result);
	if (status || !logs.follow)
		return status ? status : print(ctl, result);
	if (!remember(&logs, result))
		return ctl_fail(ctl, "the agent does not say where its text ends, as -f needs");
	status = print(ctl, result);
	return status ? status : follow(ctl, &logs);
}

COMMAND(logs) = {
	.name = "logs",
	.usage = "[-f] [-n N] ID",
	.doc = "show the last lines that a process wrote",
	.options = "  -f     go on with what follows, up to its end\n"
		   "  -n N   so many lines; 100 where left out\n"
		   "  ID     its id; else its pid or label\n",
	.run = run,
};
