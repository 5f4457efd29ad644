/* pty/resize.c - pty.resize: another size for a terminal */
#include <errno.h>
#include <string.h>

#include "guestd/method.h"
#include "guestd/req.h"
#include "proc/target.h"

struct resize_args {
	struct target target;
	uint64_t rows, cols;
};

static const struct arg resize_table[] = {
	ARG_INCLUDE(struct resize_args, target, target_one_table),
	ARG(struct resize_args, rows, .required = true, .min = 1, .max = TERMINAL_MAX),
	ARG(struct resize_args, cols, .required = true, .min = 1, .max = TERMINAL_MAX),
	ARG_END,
};

static void resize_call(struct req *req, void *args)
{
	const struct resize_args *a = args;
	struct failure f;
	const struct process *p = target_find(&a->target, &f);
	struct enc e;
	int err;

	if (!p) {
		req_fail_with(req, &f);
		return;
	}
	if (!p->spec->pty.given) {
		req_fail(req, -ENOTTY, "%s has no terminal", p->id);
		return;
	}
	if (p->tty.slave < 0) {
		req_fail(req, ERR_NOT_FOUND, "%s has exited", p->id);
		return;
	}
	err = terminal_resize(p->tty.slave, a->rows, a->cols);
	if (err) {
		req_fail(req, err, "cannot resize the terminal: %s", strerror(-err));
		return;
	}
	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 0);
	req_reply_end(req, &e);
}

METHOD(pty_resize) = {
	.name = "pty.resize",
	.doc = "Sets the size of a terminal; its foreground program gets SIGWINCH.",
	.args = resize_table,
	.args_size = sizeof(struct resize_args),
	.call = resize_call,
	.changes = true,
};
