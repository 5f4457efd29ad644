/* proc/wait.c - proc.wait: how a process ends, or ended */
#include <stdlib.h>

#include "base/mem.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "proc/target.h"

struct wait_args {
	struct target target;
	uint64_t timeout_ms;
};

static const struct arg wait_table[] = {
	ARG_INCLUDE(struct wait_args, target, target_one_table),
	ARG(struct wait_args, timeout_ms),
	ARG_END,
};

struct waiter {
	struct follower f;
	struct req *req;
	struct ev_timer timeout;
};

static struct req *done(struct waiter *w)
{
	struct req *req = w->req;

	ev_timer_stop(loop_ev(), &w->timeout);
	process_unfollow(&w->f);
	free(w);
	return req;
}

static void reply_exit(struct req *req, const struct process *p)
{
	const struct exit_record x = process_exit(p);

	exit_reply(req, &x);
}

static void on_ended(struct follower *f)
{
	const struct process *p = f->process;

	reply_exit(done(CONTAINER_OF(f, struct waiter, f)), p);
}

static void on_failed(struct follower *f, const struct failure *failure)
{
	req_fail_with(done(CONTAINER_OF(f, struct waiter, f)), failure);
}

static const struct follower_ops follower_ops = {
	.failed = on_failed,
	.ended = on_ended,
	.held = on_ended,
};

static void on_timeout(struct ev_loop *ev, struct ev_timer *timer, int revents)
{
	(void)ev, (void)revents;
	req_fail(done(CONTAINER_OF(timer, struct waiter, timeout)), ERR_TIMEOUT,
		"the process runs on after timeout_ms");
}

static void wait_cancel(void *owner)
{
	req_fail(done(owner), ERR_CANCELED, "canceled: the process goes on");
}

static void wait_gone(void *owner)
{
	done(owner);
}

static const struct chan_ops chan_ops = {.cancel = wait_cancel, .gone = wait_gone};

static void wait_call(struct req *req, void *args)
{
	const struct wait_args *a = args;
	struct failure f;
	struct process *p = target_find(&a->target, &f);
	struct waiter *w;

	if (!p) {
		req_fail_with(req, &f);
		return;
	}
	if (p->state == PROCESS_ENDED) {
		reply_exit(req, p);
		return;
	}
	w = xcalloc(1, sizeof(*w));
	w->req = req;
	chan_open(req, &chan_ops, w);
	process_follow(p, &w->f, &follower_ops);
	follower_skip(&w->f);
	ev_timer_init(&w->timeout, on_timeout, (ev_tstamp)a->timeout_ms / 1000, 0);
	if (a->timeout_ms)
		ev_timer_start(loop_ev(), &w->timeout);
}

METHOD(proc_wait) = {
	.name = "proc.wait",
	.doc = "Waits for the end of a process and says how it was; also afterwards.",
	.args = wait_table,
	.args_size = sizeof(struct wait_args),
	.call = wait_call,
};
