/*
 * proc/stop.c - proc.stop: the end of a process and of all that it started
 *
 * One of them, or all with a label.  The answer goes when nothing of any of them is alive.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "proc/target.h"
#include "proto/limits.h"

struct stop_args {
	struct target target;
	const char *signal;
	uint64_t grace_ms;
};

static const struct arg stop_table[] = {
	ARG_INCLUDE(struct stop_args, target, target_table),
	ARG(struct stop_args, signal, .dflt_str = "TERM", .check = signal_check, .or_number = true),
	ARG(struct stop_args, grace_ms, .dflt = 5000),
	ARG_END,
};

struct stopper {
	struct req *req;
	bool several; /* a label: the answer is an array */
	size_t n, left;
	struct member {
		struct follower f;
		struct stopper *stopper;
		struct exit_record exit;
		bool done, failed;
	} member[];
};

static void stopper_free(struct stopper *s)
{
	for (size_t i = 0; i < s->n; i++)
		process_unfollow(&s->member[i].f);
	free(s);
}

static void encode_member(const struct member *m, bool several, struct enc *e)
{
	size_t mark = enc_map_begin(e), n = exit_encode(&m->exit, e);

	if (several) {
		enc_kv_text(e, "id", m->f.process->id);
		n++;
	}
	enc_map_end(e, mark, n);
}

static void reply(struct stopper *s)
{
	struct req *req = s->req;
	size_t mark = 0, n = 0;
	struct enc e;

	if (!s->several && s->member[0].failed) {
		stopper_free(s);
		req_fail(req, ERR_NOT_FOUND, "it had not started, and never will");
		return;
	}
	req_reply_begin(req, &e);
	if (s->several)
		mark = enc_array_begin(&e);
	for (size_t i = 0; i < s->n; i++) {
		if (s->member[i].failed)
			continue;
		encode_member(&s->member[i], s->several, &e);
		n++;
	}
	if (s->several)
		enc_array_end(&e, mark, n);
	stopper_free(s);
	req_reply_end(req, &e);
}

static void one_less(struct stopper *s)
{
	if (--s->left == 0)
		reply(s);
}

static void member_done(struct follower *f)
{
	struct member *m = CONTAINER_OF(f, struct member, f);

	if (m->done)
		return;
	m->done = true;
	m->exit = process_exit(f->process);
	one_less(m->stopper);
}

/* Nothing of it lives; of one that had ended before, all is known. */
static void on_stopped(struct follower *f)
{
	if (f->process->state == PROCESS_ENDED)
		member_done(f);
}

static void on_ended(struct follower *f)
{
	if (!process_is_alive(f->process))
		member_done(f);
}

/* It was stopped before it ran: there is no exit to tell of. */
static void on_failed(struct follower *f, const struct failure *failure)
{
	struct member *m = CONTAINER_OF(f, struct member, f);

	(void)failure;
	m->done = m->failed = true;
	one_less(m->stopper);
}

static const struct follower_ops follower_ops = {
	.failed = on_failed,
	.ended = on_ended,
	.held = on_ended,
	.stopped = on_stopped,
};

static void stop_cancel(void *owner)
{
	struct stopper *s = owner;
	struct req *req = s->req;

	stopper_free(s);
	req_fail(req, ERR_CANCELED, "canceled: the stop itself goes on");
}

static void stop_gone(void *owner)
{
	stopper_free(owner);
}

static const struct chan_ops chan_ops = {
	.cancel = stop_cancel,
	.gone = stop_gone,
};

struct chosen {
	const char *label;
	struct process *at[MAX_PROCESSES];
	size_t n;
};

static void choose(struct process *p, void *ctx)
{
	struct chosen *c = ctx;

	if (p->spec->label && strcmp(p->spec->label, c->label) == 0 && process_is_alive(p) &&
		c->n < ARRAY_LEN(c->at))
		c->at[c->n++] = p;
}

static void stop_all(struct stopper *s, int number, uint64_t grace_ms)
{
	s->left++; /* until all have been told: the first may be done at once */
	for (size_t i = 0; i < s->n; i++) {
		struct member *m = &s->member[i];
		struct process *p = m->f.process;

		process_stop(p, number, grace_ms);
		if (!m->done && p->state == PROCESS_ENDED && !process_is_alive(p))
			member_done(&m->f);
	}
	one_less(s);
}

static void stop_call(struct req *req, void *args)
{
	const struct stop_args *a = args;
	int number = signal_number(a->signal);
	struct chosen chosen = {.label = a->target.label};
	struct stopper *s;
	struct failure f;

	if (target_check(&a->target, &f)) {
		req_fail_with(req, &f);
		return;
	}
	if (chosen.label)
		process_each(choose, &chosen);
	/* Of a label that nobody alive has: the newest, as for any other method. */
	if (chosen.n == 0)
		chosen.at[chosen.n++] = target_find(&a->target, &f);
	if (!chosen.at[0]) {
		req_fail_with(req, &f);
		return;
	}
	s = xcalloc(1, sizeof(*s) + chosen.n * sizeof(s->member[0]));
	s->req = req;
	s->several = chosen.label != NULL;
	s->n = s->left = chosen.n;
	chan_open(req, &chan_ops, s);
	for (size_t i = 0; i < s->n; i++) {
		s->member[i].stopper = s;
		process_follow(chosen.at[i], &s->member[i].f, &follower_ops);
		follower_skip(&s->member[i].f);
	}
	stop_all(s, number, a->grace_ms);
}

METHOD(proc_stop) = {
	.name = "proc.stop",
	.doc = "Stops a process and all that it started: a signal, then KILL.",
	.args = stop_table,
	.args_size = sizeof(struct stop_args),
	.call = stop_call,
	.changes = true,
};
