/* pty/open.c - pty.open: a terminal, and a login shell or a command on it */
#include "guestd/method.h"
#include "guestd/req.h"
#include "proc/exec.h"

struct open_args {
	struct exec_args exec;
	struct spec_pty size;
};

static const struct arg open_table[] = {
	ARG_INCLUDE(struct open_args, exec.spec, spec_table),
	ARG_INCLUDE(struct open_args, exec.view, view_table),
	ARG_INCLUDE(struct open_args, size, pty_table),
	ARG_END,
};

static void open_call(struct req *req, void *args)
{
	struct open_args *a = args;
	struct spec *spec = &a->exec.spec;

	if (!spec->pty.given)
		spec->pty = a->size;
	spec->pty.given = true;
	spec->shell = !spec->argv.at && !spec->cmd;
	exec_call(req, &a->exec);
}

METHOD(pty_open) = {
	.name = "pty.open",
	.doc = "Opens a terminal with the user's login shell, or another command, on it.",
	.args = open_table,
	.args_size = sizeof(struct open_args),
	.call = open_call,
	.secret = true,
	.streams = true,
	.writes = true,
};
