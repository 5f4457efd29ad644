/* proc/input.c - proc.input: bytes for a process, answered when it has them */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "proc/target.h"

struct input_args {
	struct target target;
	struct bytes data;
	bool close;
};

static const struct arg input_table[] = {
	ARG_INCLUDE(struct input_args, target, target_one_table),
	ARG(struct input_args, data),
	ARG(struct input_args, close),
	ARG_END,
};

struct input {
	struct follower f;
	struct req *req;
	size_t len; /* that has to be gone; 0 = not known yet */
};

static struct req *done(struct input *in)
{
	struct req *req = in->req;

	process_unfollow(&in->f);
	free(in);
	return req;
}

/* The pipe has it all, or nobody will ever read it. */
static void answer(struct input *in, size_t len)
{
	bool broken = len && in->f.process->in.broken;
	struct req *req = done(in);
	struct enc e;

	if (broken) {
		req_fail(req, -EPIPE, "nobody reads the input of the process");
		return;
	}
	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 1);
	enc_kv_uint(&e, "written", len);
	req_reply_end(req, &e);
}

static void on_consumed(struct follower *f, size_t len)
{
	struct input *in = CONTAINER_OF(f, struct input, f);

	(void)len;
	/* Told from inside of follower_input as well, when nothing is to be answered yet. */
	if (in->len && follower_input_done(f))
		answer(in, in->len);
}

static void on_failed(struct follower *f, const struct failure *failure)
{
	req_fail_with(done(CONTAINER_OF(f, struct input, f)), failure);
}

static const struct follower_ops follower_ops = {.failed = on_failed, .consumed = on_consumed};

static void input_cancel(void *owner)
{
	req_fail(done(owner), ERR_CANCELED, "canceled: what is queued is written all the same");
}

static void input_gone(void *owner)
{
	done(owner);
}

static const struct chan_ops chan_ops = {.cancel = input_cancel, .gone = input_gone};

static void input_call(struct req *req, void *args)
{
	const struct input_args *a = args;
	struct failure failure;
	struct process *p = target_find(&a->target, &failure);
	struct input *in;
	int err = 0;

	if (!p) {
		req_fail_with(req, &failure);
		return;
	}
	in = xcalloc(1, sizeof(*in));
	in->req = req;
	chan_open(req, &chan_ops, in);
	process_follow(p, &in->f, &follower_ops);
	follower_skip(&in->f);
	if (a->data.len)
		err = follower_input(&in->f, a->data.at, a->data.len);
	if (!err && a->close)
		process_input_end(p);
	if (err == -ENOBUFS)
		req_fail(done(in), ERR_LIMIT,
			"max_unread_input: the process has not read what it was sent before");
	else if (err)
		req_fail(done(in), err, "nobody reads the input of the process");
	else if (follower_input_done(&in->f))
		answer(in, a->data.len);
	else
		in->len = a->data.len;
}

METHOD(proc_input) = {
	.name = "proc.input",
	.doc = "Gives a process input; answered when its pipe has taken that.",
	.args = input_table,
	.args_size = sizeof(struct input_args),
	.call = input_call,
	.changes = true,
};
