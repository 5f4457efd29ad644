/* guestd/work.c - methods that are done on a worker */
#include "guestd/work.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "guestd/conn.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "proto/limits.h"

/* How often the files of the users may change under a call before it is given up. */
#define MAX_ATTEMPTS 5

/* Of a frame, what stands around the result. */
#define RESPONSE_OVERHEAD 16u

const struct arg user_table[] = {
	ARG(struct who, user),
	ARG_END,
};

const struct arg who_table[] = {
	ARG(struct who, user),
	ARG(struct who, owner),
	ARG_END,
};

int work_fail(struct work *w, int err, const char *path, const char *fmt, ...)
{
	char what[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return failure_set(&w->failure, err, NULL, path, "%s%s%s", what, err < 0 ? ": " : "",
		err < 0 ? strerror(-err) : "");
}

bool work_canceled(const struct work *w)
{
	return atomic_load_explicit(&w->canceled, memory_order_relaxed);
}

void work_fini(struct work *w)
{
	buf_fini(&w->out);
	params_free(w->params);
	free(w->account);
}

void work_reply(struct work *w, struct req *req)
{
	struct enc e;

	req_reply_begin(req, &e);
	if (buf_len(&w->out) == 0)
		enc_map_end(&e, enc_map_begin(&e), 0);
	else if (buf_add(e.buf, buf_bytes(&w->out), buf_len(&w->out)) < 0)
		e.failed = true;
	req_reply_end(req, &e);
}

void work_refuse(struct work *w, struct req *req)
{
	struct failure *f = &w->failure;
	int err = w->err;

	if (f->err != err) /* it filled in nothing */
		failure_set(f, err, NULL, NULL, "%s",
			err == -ECANCELED ? "canceled"
			: err < 0         ? strerror(-err)
					  : err_name(err));
	if (err == -ECANCELED)
		f->err = ERR_CANCELED;
	if (w->tells_more && !w->result.failed)
		f->data = &w->out;
	req_fail_with(req, f);
}

/* The rights: on a worker */

int work_enter(struct work *w)
{
	int err;

	if (!w->entered && (w->account || w->has_owner) && !users_unchanged(&w->stamps)) {
		w->stale = true;
		return -ESTALE;
	}
	w->entered = true;
	if (!w->account)
		return 0;
	err = users_assume(w->account);
	if (err)
		work_fail(w, err, NULL, "cannot act as the user %s", w->account->name);
	return err;
}

void work_leave(struct work *w)
{
	if (w->account)
		users_resume();
}

/* The users: on the loop */

static void on_users(struct users_wait *wait)
{
	work_begin(CONTAINER_OF(wait, struct work, users));
}

bool work_retry(struct work *w)
{
	w->busy = false;
	if (!w->stale || !w->req || ++w->attempts >= MAX_ATTEMPTS)
		return false;
	w->stale = false;
	users_load(&w->users);
	return true;
}

/* 0, or w->failure is filled. */
static int resolve(struct work *w, const struct who *who)
{
	struct account owner;
	int err = 0;

	if (who->user) {
		if (!w->account)
			w->account = xmalloc(sizeof(*w->account));
		err = users_resolve(users_current(), who->user, w->account, &w->failure);
	}
	if (!err && who->owner) {
		err = users_resolve(users_current(), who->owner, &owner, &w->failure);
		w->has_owner = true;
		w->uid = owner.uid;
		w->gid = owner.gid;
	}
	w->stamps = *users_stamps(users_current());
	return err;
}

void work_begin(struct work *w)
{
	const struct who *who =
		w->method->has_who ? (const void *)((const char *)w->args + w->method->who) : NULL;
	int err = 0;

	if (who && (who->user || who->owner)) {
		if (!users_current()) {
			users_load(&w->users);
			return;
		}
		err = resolve(w, who);
	}
	if (!err) {
		err = job_submit(&w->job) < 0 ? ERR_BUSY : 0;
		if (err)
			failure_set(
				&w->failure, err, NULL, NULL, "too many calls wait for a worker");
	}
	w->busy = !err;
	if (err) { /* else the worker may have set it by now */
		w->err = err;
		w->over(w);
	}
}

void work_cancel(void *owner)
{
	struct work *w = owner;

	/* It answers when it has cleaned up. */
	atomic_store_explicit(&w->canceled, true, memory_order_relaxed);
}

bool work_orphan(struct work *w)
{
	w->req = NULL;
	users_cancel(&w->users);
	work_cancel(w);
	return !w->busy;
}

void work_init(struct work *w, struct req *req, void *args, const struct chan_ops *ops)
{
	w->args = args;
	w->req = req;
	w->method = req->method;
	w->params = req_take_params(req);
	w->max_result = req->conn->max_frame - RESPONSE_OVERHEAD;
	buf_init(&w->out, MAX_FRAME);
	w->result.buf = &w->out;
	w->users.ready = on_users;
	list_init(&w->users.link);
	chan_open(req, ops, w);
}

/* A call of one step */

static void work_free(struct work *w)
{
	work_fini(w);
	free(w);
}

/* Once the connection has room for a large result. */
static void reply(struct req *req)
{
	struct work *w = req->chan.owner;

	work_reply(w, req);
	work_free(w);
}

static void over(struct work *w)
{
	if (w->req && !w->err) {
		req_reply_later(w->req, reply);
		return;
	}
	if (w->req)
		work_refuse(w, w->req);
	work_free(w);
}

static void on_done(struct job *job)
{
	struct work *w = CONTAINER_OF(job, struct work, job);

	if (work_retry(w))
		return;
	if (!w->err && w->result.failed)
		w->err = failure_set(
			&w->failure, ERR_LIMIT, NULL, NULL, "the result is longer than max_frame");
	over(w);
}

static void run(struct job *job)
{
	struct work *w = CONTAINER_OF(job, struct work, job);

	w->err = work_canceled(w) ? -ECANCELED : work_enter(w);
	if (w->err)
		return;
	w->err = w->method->work(w);
	work_leave(w);
}

static void on_gone(void *owner)
{
	struct work *w = owner;

	if (work_orphan(w))
		work_free(w);
}

static const struct chan_ops chan_ops = {.cancel = work_cancel, .gone = on_gone};

void work_start(struct req *req, void *args)
{
	struct work *w = xcalloc(1, sizeof(*w));

	w->job = (struct job){.class = JOB_SLOW, .work = run, .done = on_done};
	w->over = over;
	work_init(w, req, args, &chan_ops);
	work_begin(w);
}
