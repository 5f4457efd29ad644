/* proc/remove.c - proc.remove: forget a process that has exited */
#include "guestd/method.h"
#include "guestd/req.h"
#include "proc/process.h"

struct remove_args {
	const char *id;
};

static const struct arg remove_table[] = {
	ARG(struct remove_args, id, .required = true),
	ARG_END,
};

static void remove_call(struct req *req, void *args)
{
	const struct remove_args *a = args;
	struct process *p = process_find(a->id);
	struct enc e;

	if (!p) {
		req_fail(req, ERR_NOT_FOUND, "no process has the id %s", a->id);
		return;
	}
	if (p->state != PROCESS_ENDED) {
		req_fail(req, ERR_BUSY, "%s runs: stop it first", a->id);
		return;
	}
	process_remove(p);
	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 0);
	req_reply_end(req, &e);
}

METHOD(proc_remove) = {
	.name = "proc.remove",
	.doc = "Forgets a process that has exited, and its output.",
	.args = remove_table,
	.args_size = sizeof(struct remove_args),
	.call = remove_call,
	.changes = true,
};
