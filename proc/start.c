/* proc/start.c - proc.start: start a process and leave it */
#include <signal.h>
#include <stdlib.h>

#include "base/mem.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "proc/info.h"
#include "proc/record.h"

struct start {
	struct follower f;
	struct req *req;
};

static struct req *done(struct follower *f)
{
	struct start *s = CONTAINER_OF(f, struct start, f);
	struct req *req = s->req;

	process_unfollow(f);
	free(s);
	return req;
}

static void on_started(struct follower *f)
{
	struct process *p = f->process;
	struct req *req = done(f);
	struct enc e;

	if (!p->birth.noted)
		record_write(p); /* whoever hears of it may ask another agent for it */

	req_reply_begin(req, &e);
	info_encode(p, INFO_ARGV_MAX, &e);
	req_reply_end(req, &e);
}

static void on_failed(struct follower *f, const struct failure *failure)
{
	req_fail_with(done(f), failure);
}

static const struct follower_ops follower_ops = {.started = on_started, .failed = on_failed};

static void start_cancel(void *owner)
{
	struct start *s = owner;

	/* It fails before it runs, or it has been started: either answers the call. */
	process_stop(s->f.process, SIGTERM, s->f.process->spec->grace_ms);
}

static void start_gone(void *owner)
{
	done(&((struct start *)owner)->f);
}

static const struct chan_ops chan_ops = {.cancel = start_cancel, .gone = start_gone};

static void start_call(struct req *req, void *args)
{
	const struct spec *spec = args;
	struct failure failure;
	struct process *p;
	struct start *s;

	if (spec_check(spec, &failure)) {
		req_fail_with(req, &failure);
		return;
	}
	if (spec->id && process_find(spec->id)) {
		req_fail(req, ERR_EXISTS, "there is a process %s", spec->id);
		return;
	}
	p = process_new(req_take_params(req), spec, &failure);
	if (!p) {
		req_fail_with(req, &failure);
		return;
	}
	process_set_starter(p, req->conn);
	s = xcalloc(1, sizeof(*s));
	s->req = req;
	chan_open(req, &chan_ops, s);
	process_follow(p, &s->f, &follower_ops);
	follower_skip(&s->f);
	process_start(p);
}

METHOD(proc_start) = {
	.name = "proc.start",
	.doc = "Starts a process and answers as soon as its program runs.",
	.args = spec_table,
	.args_size = sizeof(struct spec),
	.call = start_call,
	.writes = true,
	.secret = true,
};
