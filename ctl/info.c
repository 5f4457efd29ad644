/* ctl/info.c - guestctl info: what the agent says of itself in its hello */
#include <stdio.h>

#include "ctl/command.h"
#include "ctl/json.h"
#include "ctl/text.h"

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct client_msg hello;
	int status = 0;

	if (argc > 1)
		status = ctl_usage(ctl, "unexpected argument %s", argv[1]);
	if (!status)
		status = ctl_connect(ctl, 0, &hello);
	if (status)
		return status;
	if (ctl->json)
		json_write(stdout, hello.result, false);
	else
		text_table(stdout, hello.result);
	return STATUS_OK;
}

COMMAND(info) = {
	.name = "info",
	.usage = "",
	.doc = "show the agent's version, features and limits",
	.run = run,
};
