/*
 * proc/run.c - proc.run: run a command, one request, one response
 *
 * A follower that takes everything at once, so that the process never waits for it, and keeps
 * the beginning of each stream.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "guestd/conn.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "proc/process.h"
#include "proto/limits.h"

/* What the result holds besides the two captures. */
#define RESULT_OVERHEAD 800u

/* And an artifact besides its path: names, size, hash. */
#define ARTIFACT_OVERHEAD 112u

struct run_args {
	struct spec spec;
	struct bytes input;
	uint64_t max_output;
};

static const struct arg run_table[] = {
	ARG_INCLUDE(struct run_args, spec, spec_table),
	ARG(struct run_args, input),
	ARG(struct run_args, max_output, .dflt = RUN_OUTPUT_DEFAULT),
	ARG_END,
};

struct run {
	struct follower f;
	struct req *req;
	struct buf captured[2];
	bool canceled;
};

static struct run *run_of(struct follower *f)
{
	return CONTAINER_OF(f, struct run, f);
}

static void run_free(struct run *r)
{
	process_unfollow(&r->f);
	for (int i = 0; i < 2; i++) {
		process_budget()->used -= r->captured[i].cap;
		buf_fini(&r->captured[i]);
	}
	free(r);
}

/* As much as the capture may still hold; its memory counts with that of the rings. */
static void capture(struct run *r, unsigned i, const char *bytes, size_t len)
{
	struct ring_budget *budget = process_budget();
	struct buf *b = &r->captured[i];
	size_t cap = b->cap;

	len = MIN(len, b->max - buf_len(b));
	if (len > b->cap - b->tail && budget->used >= budget->max)
		len = b->cap - b->tail;
	if (buf_add(b, bytes, len) < 0)
		b->max = buf_len(b); /* no memory: what we have is what there will be */
	budget->used += b->cap - cap;
}

static void run_output(struct follower *f)
{
	for (unsigned i = 0; i < 2; i++) {
		const char *bytes;
		size_t n;

		while ((n = follower_peek(f, i, &bytes))) {
			capture(run_of(f), i, bytes, n);
			follower_advance(f, i, n);
		}
	}
}

/* What the artifacts take at most. */
static size_t artifacts_room(const struct strs *paths)
{
	size_t n = 0;

	for (size_t i = 0; i < paths->n; i++)
		n += strlen(paths->at[i]) + ARTIFACT_OVERHEAD;
	return n;
}

/* Both captures must fit into one frame: a small one leaves its share to the other. */
static void share_frame(const struct run *r, size_t room, size_t len[2])
{
	for (int i = 0; i < 2; i++)
		len[i] = buf_len(&r->captured[i]);
	if (len[0] + len[1] <= room)
		return;
	if (len[0] <= room / 2)
		len[1] = room - len[0];
	else if (len[1] <= room / 2)
		len[0] = room - len[1];
	else
		len[0] = len[1] = room / 2;
}

static void send_result(struct req *req)
{
	struct run *r = req->chan.owner;
	struct process *p = r->f.process;
	struct exit_record x = p->exit;
	size_t room = req->conn->max_frame - RESULT_OVERHEAD;
	size_t len[2], mark, n, artifacts = artifacts_room(&p->spec->artifacts);
	struct enc e;

	x.artifacts_truncated = artifacts > room;
	if (!x.artifacts_truncated)
		room -= artifacts;
	share_frame(r, room, len);
	for (int i = 0; i < 2; i++)
		x.dropped[i] = x.bytes[i] - len[i];
	req_reply_begin(req, &e);
	mark = enc_map_begin(&e);
	n = exit_encode(&x, &e);
	enc_kv_text(&e, "id", p->id);
	enc_kv_int(&e, "pid", p->pid);
	enc_kv_bin(&e, "stdout", len[0] ? buf_bytes(&r->captured[0]) : "", len[0]);
	enc_kv_bin(&e, "stderr", len[1] ? buf_bytes(&r->captured[1]) : "", len[1]);
	enc_kv_bool(&e, "stdout_truncated", x.dropped[0] > 0);
	enc_kv_bool(&e, "stderr_truncated", x.dropped[1] > 0);
	enc_map_end(&e, mark, n + 6);
	run_free(r);
	req_reply_end(req, &e);
}

static void run_failed(struct follower *f, const struct failure *failure)
{
	struct run *r = run_of(f);
	struct req *req = r->req;

	run_free(r);
	req_fail_with(req, failure);
}

static void run_ended(struct follower *f)
{
	struct run *r = run_of(f);
	struct req *req = r->req;

	run_output(f);
	if (!r->canceled) {
		req_reply_later(req, send_result);
		return;
	}
	run_free(r);
	req_fail(req, ERR_CANCELED, "canceled: nothing of the process is alive");
}

static void run_stopped(struct follower *f)
{
	if (run_of(f)->canceled)
		run_ended(f);
}

static const struct follower_ops follower_ops = {
	.failed = run_failed,
	.output = run_output,
	.ended = run_ended,
	.stopped = run_stopped,
};

static void run_cancel(void *owner)
{
	struct run *r = owner;

	if (r->f.process->state == PROCESS_ENDED)
		return; /* the result is on its way */
	r->canceled = true;
	follower_skip(&r->f);
	if (r->f.process->stopped)
		run_ended(&r->f);
	else
		process_stop(r->f.process, SIGTERM, r->f.process->spec->grace_ms);
}

static void run_gone(void *owner)
{
	struct run *r = owner;
	struct process *p = r->f.process;

	run_free(r); /* first: stopping a process that did not start tells its followers */
	process_check_wanted(p);
}

static const struct chan_ops chan_ops = {.cancel = run_cancel, .gone = run_gone};

static void run_call(struct req *req, void *args)
{
	struct run_args *a = args;
	struct failure failure;
	struct process *p;
	struct run *r;

	a->spec.want_stdin |= a->input.at != NULL;
	if (spec_check(&a->spec, &failure)) {
		req_fail_with(req, &failure);
		return;
	}
	if (a->spec.id && process_find(a->spec.id)) {
		req_fail(req, ERR_EXISTS, "there is a process %s", a->spec.id);
		return;
	}
	p = process_new(req_take_params(req), &a->spec, &failure);
	if (!p) {
		req_fail_with(req, &failure);
		return;
	}
	r = xcalloc(1, sizeof(*r));
	r->req = req;
	for (int i = 0; i < 2; i++)
		buf_init(&r->captured[i], MIN(a->max_output, MAX_FRAME));
	chan_open(req, &chan_ops, r);
	process_follow(p, &r->f, &follower_ops);
	r->f.attached = true;
	process_set_starter(p, req->conn);
	/* Queued until there is a pipe. */
	if (a->input.at && follower_input(&r->f, a->input.at, a->input.len) == -ENOBUFS)
		abort();
	process_input_end(p);
	process_start(p);
}

METHOD(proc_run) = {
	.name = "proc.run",
	.doc = "Runs a command and returns its output: one request, one response.",
	.args = run_table,
	.args_size = sizeof(struct run_args),
	.call = run_call,
	.writes = true,
	.secret = true,
};
