/* proc/logs.c - proc.logs: the last lines that a process wrote */
#include <errno.h>

#include "guestd/conn.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "proc/tail.h"
#include "proc/target.h"

/* What the result holds besides the text. */
#define RESULT_OVERHEAD 384u

enum { LOGS_STDOUT, LOGS_STDERR, LOGS_BOTH };

static const char *const streams[] = {
	[LOGS_STDOUT] = "stdout", [LOGS_STDERR] = "stderr", [LOGS_BOTH] = "both", NULL};

struct logs_args {
	struct target target;
	uint64_t tail;
	unsigned stream;
};

static const struct arg logs_table[] = {
	ARG_INCLUDE(struct logs_args, target, target_table),
	ARG(struct logs_args, tail, .dflt = 100),
	ARG(struct logs_args, stream, .choices = streams, .dflt = LOGS_BOTH),
	ARG_END,
};

/* The offsets are where the text ends: an attach from there on misses nothing. */
static void reply(struct req *req, const struct process *p, const struct buf *text,
	const struct tail_result *result, uint64_t dropped)
{
	size_t len = buf_len(text);
	struct enc e;

	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 7);
	enc_kv_bin(&e, "text", len ? buf_bytes(text) : "", len);
	enc_kv_uint(&e, "lines", result->lines);
	enc_kv_uint(&e, "dropped", dropped);
	enc_kv_bool(&e, "truncated", result->cut);
	enc_kv_text(&e, "id", p->id);
	enc_kv_uint(&e, "stdout_offset", p->out[0].source.ring.head);
	enc_kv_uint(&e, "stderr_offset", p->out[1].source.ring.head);
	req_reply_end(req, &e);
}

/* Once the connection has room for a large response: the process may be gone by then. */
static void send_logs(struct req *req)
{
	const struct logs_args *a = req->args;
	struct failure f;
	const struct process *p = target_find(&a->target, &f);
	struct tail tail = {.wanted = {a->stream != LOGS_STDERR, a->stream != LOGS_STDOUT}};
	struct tail_result result;
	uint64_t dropped = 0;
	struct buf text;

	if (!p) {
		req_fail_with(req, &f);
		return;
	}
	tail.order = &p->order;
	for (int i = 0; i < 2; i++) {
		tail.ring[i] = &p->out[i].source.ring;
		dropped += tail.wanted[i] ? tail.ring[i]->tail : 0;
	}
	buf_init(&text, req->conn->max_frame - RESULT_OVERHEAD);
	if (tail_read(&tail, a->tail, &text, &result) < 0)
		req_fail(req, -ENOMEM, "out of memory for %zu bytes of output", text.max);
	else
		reply(req, p, &text, &result, dropped);
	buf_fini(&text);
}

static void logs_call(struct req *req, void *args)
{
	(void)args;
	req_reply_later(req, send_logs);
}

METHOD(proc_logs) = {
	.name = "proc.logs",
	.doc = "Returns the last lines that a process wrote.",
	.args = logs_table,
	.args_size = sizeof(struct logs_args),
	.call = logs_call,
};
