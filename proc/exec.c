/*
 * proc/exec.c - proc.exec: run a command and stream it
 *
 * A follower with a connection behind it.  What the connection asks for (pull) is handed out
 * of the rings as it lies there; the response goes when the process has ended and all of its
 * output is on its way.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "guestd/conn.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "proc/process.h"

struct exec {
	struct follower f;
	struct req *req;
	unsigned turn; /* the stream that goes first next time */
	bool end_sent[2];
	bool canceled;
};

static struct exec *exec_of(struct follower *f)
{
	return CONTAINER_OF(f, struct exec, f);
}

static void exec_free(struct exec *x)
{
	process_unfollow(&x->f);
	free(x);
}

static void send_exit(struct exec *x)
{
	struct process *p = x->f.process;
	struct req *req = x->req;
	size_t mark;
	struct enc e;

	req_reply_begin(req, &e);
	mark = enc_map_begin(&e);
	enc_map_end(&e, mark, exit_encode(&p->exit, &e));
	exec_free(x);
	req_reply_end(req, &e);
}

/* Ends of streams, and the end of it all, once everything before them was sent. */
static void check_ends(struct exec *x)
{
	struct process *p = x->f.process;

	for (unsigned i = 0; i < 2; i++) {
		if (x->end_sent[i] || !p->out[i].source.eof || !follower_at_end(&x->f, i))
			continue;
		x->end_sent[i] = true;
		if (i == 0 || !p->spec->merge)
			chan_end(x->req, i ? CHANNEL_ERR : CHANNEL_OUT);
	}
	if (p->state == PROCESS_ENDED && follower_at_end(&x->f, 0) && follower_at_end(&x->f, 1))
		send_exit(x);
}

static void exec_started(struct follower *f)
{
	struct exec *x = exec_of(f);
	struct enc e;

	chan_event_begin(x->req, &e);
	enc_map_end(&e, enc_map_begin(&e), 3);
	enc_kv_str(&e, "type", "started");
	enc_kv_text(&e, "id", f->process->id);
	enc_kv_int(&e, "pid", f->process->pid);
	chan_event_end_soon(x->req, &e); /* of a short process, with its output or its exit */
}

/* For one that attaches late: what was overwritten before it came. */
static void send_gaps(struct exec *x)
{
	for (unsigned i = 0; i < 2; i++) {
		struct enc e;

		if (x->f.position[i] == 0)
			continue;
		chan_event_begin(x->req, &e);
		enc_map_end(&e, enc_map_begin(&e), 4);
		enc_kv_str(&e, "type", "gap");
		enc_kv_uint(&e, "channel", i ? CHANNEL_ERR : CHANNEL_OUT);
		enc_kv_uint(&e, "lost", x->f.position[i]);
		enc_kv_uint(&e, "offset", x->f.position[i]);
		chan_event_end(x->req, &e);
	}
}

static void exec_failed(struct follower *f, const struct failure *failure)
{
	struct exec *x = exec_of(f);
	struct req *req = x->req;

	exec_free(x);
	req_fail_with(req, failure);
}

static void exec_output(struct follower *f)
{
	struct exec *x = exec_of(f);
	const char *bytes;

	if (f->process->state < PROCESS_RUNNING || x->canceled)
		return; /* "started" goes first */
	if (follower_peek(f, 0, &bytes) || follower_peek(f, 1, &bytes))
		chan_ready(x->req);
	check_ends(x);
}

static void answer_cancel(struct exec *x)
{
	struct req *req = x->req;

	exec_free(x);
	req_fail(req, ERR_CANCELED, "canceled: nothing of the process is alive");
}

static void exec_ended(struct follower *f)
{
	if (exec_of(f)->canceled)
		answer_cancel(exec_of(f));
	else
		exec_output(f);
}

static void exec_stopped(struct follower *f)
{
	if (exec_of(f)->canceled)
		answer_cancel(exec_of(f));
}

static void exec_consumed(struct follower *f, size_t len)
{
	chan_consumed(exec_of(f)->req, len);
}

static const struct follower_ops follower_ops = {
	.started = exec_started,
	.failed = exec_failed,
	.output = exec_output,
	.ended = exec_ended,
	.stopped = exec_stopped,
	.consumed = exec_consumed,
};

static bool exec_pull(void *owner, size_t max, struct chunk *chunk)
{
	struct exec *x = owner;

	for (unsigned tried = 0; tried < 2; tried++) {
		unsigned i = (x->turn + tried) % 2;
		size_t n = follower_peek(&x->f, i, &chunk->bytes);

		if (n) {
			chunk->channel = i ? CHANNEL_ERR : CHANNEL_OUT;
			chunk->len = MIN(n, max);
			return true;
		}
	}
	return false;
}

static void exec_taken(void *owner, const struct chunk *chunk)
{
	struct exec *x = owner;
	unsigned i = chunk->channel == CHANNEL_ERR;

	x->turn = !i;
	follower_advance(&x->f, i, chunk->len);
	check_ends(x);
}

static void exec_data(void *owner, unsigned channel, const char *bytes, size_t len)
{
	struct exec *x = owner;

	if (channel != CHANNEL_IN) {
		chan_consumed(x->req, len);
		return;
	}
	/* A process that does not read is no error of the call: its exit tells the rest. */
	if (follower_input(&x->f, bytes, len) == -ENOBUFS)
		conn_goodbye(x->req->conn, ERR_LIMIT,
			"max_unread_input: the process reads nothing of it");
}

static void exec_eof(void *owner)
{
	struct exec *x = owner;

	process_input_end(x->f.process);
}

static void exec_cancel(void *owner)
{
	struct exec *x = owner;

	x->canceled = true;
	follower_skip(&x->f); /* a client that stalls must not keep it from ending */
	if (x->f.process->state == PROCESS_ENDED || x->f.process->stopped)
		answer_cancel(x);
	else
		process_stop(x->f.process);
}

static void exec_gone(void *owner)
{
	struct exec *x = owner;
	struct process *p = x->f.process;

	exec_free(x); /* first: stopping a process that did not start tells its followers */
	if (p->spec->on_disconnect == DISCONNECT_KILL && list_empty(&p->followers))
		process_stop(p);
}

static const struct chan_ops chan_ops = {
	.pull = exec_pull,
	.taken = exec_taken,
	.data = exec_data,
	.eof = exec_eof,
	.cancel = exec_cancel,
	.gone = exec_gone,
};

static void exec_call(struct req *req, void *args)
{
	const struct spec *spec = args;
	struct process *p = spec->id ? process_find(spec->id) : NULL;
	bool running = p != NULL;
	struct failure failure;
	struct exec *x;

	if (spec_check(spec, &failure) ||
		(!p && !(p = process_new(req_take_params(req), spec, &failure)))) {
		req_fail_with(req, &failure);
		return;
	}
	x = xcalloc(1, sizeof(*x));
	x->req = req;
	chan_open(req, &chan_ops, x);
	process_follow(p, &x->f, &follower_ops);
	if (!running) {
		process_start(p);
	} else if (p->state >= PROCESS_RUNNING) {
		exec_started(&x->f);
		send_gaps(x);
		exec_output(&x->f);
	}
}

METHOD(proc_exec) = {
	.name = "proc.exec",
	.doc = "Runs a command: output as it comes, input as it is sent, the exit at the end.",
	.args = spec_table,
	.args_size = sizeof(struct spec),
	.call = exec_call,
	.streams = true,
};
