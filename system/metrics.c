/*
 * system/metrics.c - system.metrics: how the guest does, once or again and again
 *
 * Files are read on a worker, one sample of a call at a time.  A timer runs while somebody streams,
 * and no longer.  A client that is slow, or a sample that takes longer than the interval, costs samples: how
 * many is said in the next one.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "guestd/activity.h"
#include "guestd/conn.h"
#include "guestd/identity.h"
#include "guestd/job.h"
#include "guestd/loop.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "proto/limits.h"
#include "system/sample.h"

struct metrics_args {
	uint64_t interval_ms;
};

static const struct arg metrics_table[] = {
	ARG(struct metrics_args, interval_ms, .min = METRICS_INTERVAL_MIN, .max = 86400000),
	ARG_END,
};

struct metrics {
	struct req *req; /* NULL: it was canceled, or its connection is gone */
	struct job job;
	struct ev_timer timer;
	bool streams, busy;
	uint64_t missed;
	struct sample *ready; /* waits for room */

	struct sample *made; /* by the worker */
};

static void metrics_free(struct metrics *m)
{
	ev_timer_stop(loop_ev(), &m->timer);
	sample_free(m->ready);
	free(m);
}

static void metrics_work(struct job *job)
{
	CONTAINER_OF(job, struct metrics, job)->made = sample_take(identity()->cgroups);
}

static void reply(struct metrics *m)
{
	struct req *req = m->req;
	struct enc e;
	size_t mark;

	req_reply_begin(req, &e);
	mark = enc_map_begin(&e);
	enc_map_end(&e, mark, sample_encode(m->ready, activity()->calls, &e));
	metrics_free(m);
	req_reply_end(req, &e);
}

static void metrics_done(struct job *job)
{
	struct metrics *m = CONTAINER_OF(job, struct metrics, job);
	struct sample *made = m->made;

	m->busy = false;
	m->missed += m->ready != NULL;
	sample_free(m->ready);
	m->ready = made;
	if (!m->req)
		metrics_free(m);
	else if (m->streams)
		chan_events_ready(m->req);
	else
		reply(m);
}

/* 0 or -EAGAIN. */
static int take_one(struct metrics *m)
{
	int err;

	if (m->busy) {
		m->missed++;
		return 0;
	}
	m->job = (struct job){.class = JOB_SLOW, .work = metrics_work, .done = metrics_done};
	err = job_submit(&m->job);
	m->busy = !err;
	return err;
}

static void on_timer(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct metrics *m = CONTAINER_OF(w, struct metrics, timer);

	(void)ev, (void)revents;
	if (take_one(m))
		m->missed++;
}

static bool metrics_events(void *owner)
{
	struct metrics *m = owner;
	struct enc e;
	size_t mark, n = 1;

	if (!m->ready)
		return false;
	chan_event_begin(m->req, &e);
	mark = enc_map_begin(&e);
	enc_kv_str(&e, "type", "metrics");
	if (m->missed) {
		enc_kv_uint(&e, "missed", m->missed);
		n++;
	}
	n += sample_encode(m->ready, activity()->calls, &e);
	enc_map_end(&e, mark, n);
	chan_event_end(m->req, &e);
	sample_free(m->ready);
	m->ready = NULL;
	m->missed = 0;
	return false;
}

static void metrics_gone(void *owner)
{
	struct metrics *m = owner;

	m->req = NULL;
	ev_timer_stop(loop_ev(), &m->timer);
	if (!m->busy)
		metrics_free(m);
}

static void metrics_cancel(void *owner)
{
	struct req *req = ((struct metrics *)owner)->req;

	metrics_gone(owner);
	req_fail(req, ERR_CANCELED, "canceled: there are no more samples");
}

static const struct chan_ops chan_ops = {
	.events = metrics_events,
	.cancel = metrics_cancel,
	.gone = metrics_gone,
};

static void metrics_call(struct req *req, void *args)
{
	const struct metrics_args *a = args;
	struct metrics *m = xcalloc(1, sizeof(*m));
	ev_tstamp interval = (ev_tstamp)a->interval_ms / 1000;

	m->req = req;
	m->streams = a->interval_ms > 0;
	ev_timer_init(&m->timer, on_timer, interval, interval);
	if (take_one(m)) {
		metrics_free(m);
		req_fail(req, ERR_BUSY, "%u jobs are waiting for a worker: try again later",
			MAX_QUEUED_JOBS);
		return;
	}
	chan_open(req, &chan_ops, m);
	if (m->streams)
		ev_timer_start(loop_ev(), &m->timer);
}

METHOD(system_metrics) = {
	.name = "system.metrics",
	.doc = "Says how the guest does: processors, memory, disks, network; once, or at an interval.",
	.args = metrics_table,
	.args_size = sizeof(struct metrics_args),
	.call = metrics_call,
	.quiet = true,
	.streams = true,
};
