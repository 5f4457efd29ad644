/*
 * ctl/call.c - guestctl call: any method, with JSON on both sides
 *
 * Each event is a line, each piece of data is a line, and the result is the last one.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ctl/command.h"
#include "ctl/json.h"
#include "ctl/relay.h"

struct call {
	const char *method;
	const char *json; /* or NULL; "-" is standard input */
	bool text, input;
	struct buf params; /* msgpack */
};

static const struct option options[] = {
	{"text", no_argument, NULL, 't'},
	{0},
};

static int parse(const struct ctl *ctl, int argc, char **argv, struct call *call)
{
	int option;

	while ((option = getopt_long(argc, argv, "+i", options, NULL)) != -1) {
		if (option == 't')
			call->text = true;
		else if (option == 'i')
			call->input = true;
		else
			return ctl_bad_option(ctl, argv);
	}
	if (argc - optind < 1 || argc - optind > 2)
		return ctl_usage(ctl, "one method, and its parameters as one JSON object");
	call->method = argv[optind];
	call->json = argv[optind + 1];
	if (call->input && call->json && strcmp(call->json, "-") == 0)
		return ctl_usage(ctl, "standard input cannot be both parameters and data");
	return 0;
}

/* Standard input as a whole.  0 or -errno. */
static int read_all(struct buf *in)
{
	for (;;) {
		char *room = buf_reserve(in, READ_CHUNK);
		ssize_t n = room ? read(STDIN_FILENO, room, READ_CHUNK) : 0;

		if (!room)
			return -EMSGSIZE;
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		buf_commit(in, (size_t)MAX(n, 0));
	}
}

static int pack(const struct ctl *ctl, struct call *call, const char *json, size_t len)
{
	char why[256];
	int err = json_read(json, len, &call->params, why, sizeof(why));

	if (err == -EINVAL)
		return ctl_usage(ctl, "%s", why);
	return err ? ctl_fail(ctl, "the parameters are longer than a request can be") : 0;
}

static int pack_params(const struct ctl *ctl, struct call *call)
{
	struct buf in;
	int err, status;

	if (!call->json)
		return pack(ctl, call, "{}", 2);
	if (strcmp(call->json, "-") != 0)
		return pack(ctl, call, call->json, strlen(call->json));
	buf_init(&in, 2 * MAX_FRAME + READ_CHUNK); /* base64 takes four bytes for three */
	err = read_all(&in);
	if (err)
		status = ctl_fail(ctl, "cannot read the parameters: %s", strerror(-err));
	else
		status = pack(ctl, call, buf_bytes(&in), buf_len(&in));
	buf_fini(&in);
	return status;
}

static int take(void *ctx, const struct client_msg *msg)
{
	const struct call *call = ctx;

	errno = 0;
	if (msg->type == MSG_EVENT)
		json_write(stdout, msg->event, call->text);
	else if (msg->type == MSG_DATA)
		json_write_data(stdout, msg->channel, msg->data, msg->len, call->text);
	if (!ferror(stdout))
		return 0;
	return errno ? -errno : -EIO;
}

static void params(void *ctx, struct enc *e)
{
	const struct buf *b = &((struct call *)ctx)->params;

	if (buf_add(e->buf, buf_bytes(b), buf_len(b)) < 0)
		e->failed = true;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct call call = {0};
	struct relay r = {.params = params, .take = take, .ctx = &call, .in_fd = -1};
	const struct val *result;
	int status = parse(ctl, argc, argv, &call);

	r.method = call.method;
	if (call.input)
		r.in_fd = STDIN_FILENO;
	buf_init(&call.params, MAX_FRAME);
	if (!status)
		status = pack_params(ctl, &call);
	if (!status)
		status = relay_run(ctl, &r, &result);
	if (!status)
		json_write(stdout, result, call.text);
	buf_fini(&call.params);
	return status;
}

COMMAND(call) = {
	.name = "call",
	.usage = "[-i] [--text] METHOD [JSON|-]",
	.doc = "call any method with JSON",
	.options = "  -i       send standard input as the call's input\n"
		   "  --text   show bytes that are UTF-8 as text\n"
		   "  JSON     parameters, {} where left out, - for standard input; bytes are\n"
		   "           {\"base64\": \"…\"}, here and in what is printed\n",
	.run = run,
};
