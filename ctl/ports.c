/* ctl/ports.c - guestctl ports: what listens in the guest, and on request what opens and closes */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "ctl/ask.h"
#include "ctl/json.h"
#include "ctl/table.h"
#include "ctl/text.h"

static int parse(const struct ctl *ctl, int argc, char **argv, bool *watch)
{
	int option;

	while ((option = getopt(argc, argv, "+w")) != -1) {
		if (option != 'w')
			return ctl_bad_option(ctl, argv);
		*watch = true;
	}
	return optind == argc ? 0 : ctl_usage(ctl, "unexpected argument %s", argv[optind]);
}

static void print_table(const struct val *list)
{
	static const char *const fields[] = {"port", "address", "pid", "comm", "id"};
	struct table *t = table_new(5, "PORT", "ADDRESS", "PID", "COMMAND", "ID");

	for (size_t i = 0; i < val_count(list); i++) {
		for (size_t k = 0; k < ARRAY_LEN(fields); k++) {
			const struct val *v = val_get(val_at(list, i), fields[k]);
			FILE *f = table_cell(t);

			if (v)
				text_val(f, v);
		}
	}
	table_print(t);
}

/* TYPE PORT ADDRESS [PID] */
static void print_change(const struct val *type, const struct val *port)
{
	static const char *const fields[] = {"port", "address", "pid"};

	if (type)
		text_val(stdout, type);
	else
		fputs("open", stdout);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const struct val *v = val_get(port, fields[i]);

		if (!v)
			continue;
		putchar(' ');
		text_val(stdout, v);
	}
	putchar('\n');
}

static int take(void *ctx, const struct client_msg *msg)
{
	const struct ctl *ctl = ctx;
	const struct val *ports;

	if (msg->type != MSG_EVENT)
		return 0;
	errno = 0;
	ports = val_get(msg->event, "ports");
	if (ctl->json)
		json_write(stdout, msg->event, false);
	else if (!ports)
		print_change(val_get(msg->event, "type"), msg->event);
	for (size_t i = 0; !ctl->json && i < val_count(ports); i++)
		print_change(NULL, val_at(ports, i));
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return errno ? -errno : -EIO;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct params p = {0};
	const struct val *result;
	bool watch = false;
	int status = parse(ctl, argc, argv, &watch);

	if (!status && watch)
		return ask_stream(ctl, "net.watch", &p, take, ctl, &result);
	if (!status)
		status = ask(ctl, "net.ports", &p, &result);
	if (status)
		return status;
	if (ctl->json)
		json_write(stdout, result, false);
	else
		print_table(result);
	return STATUS_OK;
}

COMMAND(ports) = {
	.name = "ports",
	.usage = "[-w]",
	.doc = "list the TCP ports that something listens on",
	.options = "  -w   and which open and close from then on, a line each, until Ctrl-C\n",
	.run = run,
};
