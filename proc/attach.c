/* proc/attach.c - proc.attach: see what a process wrote and writes */
#include "guestd/method.h"
#include "guestd/req.h"
#include "proc/exec.h"
#include "proc/info.h"
#include "proc/target.h"

/* What a number nobody gives stands for. */
#define FROM_OLDEST INT64_MAX

struct attach_args {
	struct target target;
	int64_t stdout_from, stderr_from;
	bool follow;
	struct view_args view;
};

static const struct arg attach_table[] = {
	ARG_INCLUDE(struct attach_args, target, target_table),
	ARG(struct attach_args, stdout_from, .dflt = FROM_OLDEST),
	ARG(struct attach_args, stderr_from, .dflt = FROM_OLDEST),
	ARG(struct attach_args, follow, .dflt = true),
	ARG_INCLUDE(struct attach_args, view, view_table),
	ARG_END,
};

static void greet(struct viewer *v)
{
	struct enc e;

	chan_event_begin(v->req, &e);
	enc_map_end(&e, enc_map_begin(&e), 4);
	enc_kv_str(&e, "type", "attached");
	enc_kv_uint(&e, "stdout_offset", v->f.position[0]);
	enc_kv_uint(&e, "stderr_offset", v->f.position[1]);
	enc_str(&e, "info");
	info_encode(v->f.process, INFO_ARGV_MAX, &e);
	chan_event_end(v->req, &e);
}

static const struct viewer_kind attach_kind = {.greet = greet, .to_the_end = true};

/* Where stream I is read from.  0, or ERR_BAD_PARAMS with FAIL filled. */
static int seek(const struct process *p, unsigned i, int64_t from, uint64_t *position,
	uint64_t *lost, struct failure *fail)
{
	const struct ring *ring = &p->out[i].source.ring;

	*lost = 0;
	*position = ring->tail;
	if (from == FROM_OLDEST)
		return 0;
	if (from < 0) {
		*position = MAX(ring->head - MIN(ring->head, (uint64_t)-from), ring->tail);
	} else if ((uint64_t)from > ring->head && p->found) {
		return failure_set(fail, ERR_GAP, NULL, NULL,
			"%s_from %lld is of another agent: this one counts from its own start, and has "
			"come to %llu",
			i ? "stderr" : "stdout", (long long)from, (unsigned long long)ring->head);
	} else if ((uint64_t)from > ring->head) {
		return failure_set(fail, ERR_BAD_PARAMS, NULL, NULL,
			"%s_from %lld is beyond the %llu bytes that it wrote",
			i ? "stderr" : "stdout", (long long)from, (unsigned long long)ring->head);
	} else if ((uint64_t)from < ring->tail) {
		*lost = ring->tail - (uint64_t)from;
	} else {
		*position = (uint64_t)from;
	}
	return 0;
}

static void attach_call(struct req *req, void *args)
{
	const struct attach_args *a = args;
	uint64_t position[2], lost[2];
	struct failure f;
	struct viewer *v;
	struct process *p = target_find(&a->target, &f);

	if (!p || seek(p, 0, a->stdout_from, &position[0], &lost[0], &f) ||
		seek(p, 1, a->stderr_from, &position[1], &lost[1], &f)) {
		req_fail_with(req, &f);
		return;
	}
	v = viewer_open(req, p, &attach_kind);
	follower_set_stall(&v->f, (double)a->view.stall_ms / 1000);
	v->live = a->follow;
	for (int i = 0; i < 2; i++) {
		v->f.position[i] = position[i];
		v->lost_at_start[i] = lost[i];
		if (!a->follow)
			v->f.until[i] = p->out[i].source.ring.head;
	}
	viewer_begin(v);
}

METHOD(proc_attach) = {
	.name = "proc.attach",
	.doc = "Shows what a process wrote, from any offset that is kept, and follows it.",
	.args = attach_table,
	.args_size = sizeof(struct attach_args),
	.call = attach_call,
	.streams = true,
};
