/*
 * proc/list.c - proc.list: the agent's processes, or all of the guest
 *
 * The agent's own are in its table.  All of them are what a worker reads in /proc (walk.h).
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "guestd/conn.h"
#include "guestd/job.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "proc/cgroup.h"
#include "proc/info.h"
#include "proc/walk.h"

struct list_args {
	bool all;
};

static const struct arg list_table[] = {
	ARG(struct list_args, all),
	ARG_END,
};

/* What is told of an argv: less where all would not fit into a frame. */
static const size_t argv_max[] = {INFO_ARGV_MAX, 512, 64, 0};

struct listing {
	struct enc *e;
	size_t argv_max, n;
};

static void encode_own(struct process *p, void *ctx)
{
	struct listing *l = ctx;

	if (p->state < PROCESS_RUNNING)
		return;
	info_encode(p, l->argv_max, l->e);
	l->n++;
}

static int try_own(struct req *req, size_t max)
{
	struct listing l = {.argv_max = max};
	size_t mark;
	struct enc e;

	req_reply_begin(req, &e);
	mark = enc_array_begin(&e);
	l.e = &e;
	process_each(encode_own, &l);
	enc_array_end(&e, mark, l.n);
	return req_try_reply_end(req, &e);
}

static void fail_too_long(struct req *req)
{
	req_fail(req, ERR_LIMIT, "the list is longer than max_frame (%u), even without arguments",
		req->conn->max_frame);
}

static void send_own(struct req *req)
{
	for (size_t i = 0; i < ARRAY_LEN(argv_max); i++) {
		if (try_own(req, argv_max[i]) == 0)
			return;
	}
	fail_too_long(req);
}

/* All of the guest */

struct survey {
	struct job job;
	struct req *req; /* NULL: the client is gone */
	struct walk walk;
	int err;
	bool walked;
};

static void list_free(struct survey *l)
{
	walk_fini(&l->walk);
	free(l);
}

/*
 * Whose E is: a leader's session keeps its number taken; who left that has a parent, or became
 * our child and is in a cgroup.
 */
static const struct process *owner_of(const struct walk *w, const struct walk_entry *e)
{
	for (int depth = 0; e && depth < 64; depth++) {
		const struct process *p = process_find_pid(e->pid);

		if (!p || p->state == PROCESS_ENDED)
			p = process_find_pid(e->session);
		if (!p && e->ppid == getpid())
			p = cgroup_owner_of(e->pid);
		if (p)
			return p;
		e = walk_find(w, e->ppid);
	}
	return NULL;
}

/* The beginning of an argument list, MAX bytes of it.  True when there was more. */
static bool encode_argv(const char *argv, size_t len, size_t max, struct enc *e)
{
	size_t mark = enc_array_begin(e), n = 0;
	const char *end = argv + len;

	for (; argv < end && strlen(argv) <= max; n++) {
		size_t arg = strlen(argv);

		enc_text(e, argv, arg);
		max -= arg;
		argv += arg + 1;
	}
	enc_array_end(e, mark, n);
	return argv < end;
}

static void encode_entry(const struct walk *w, const struct walk_entry *entry, size_t max,
	uint64_t boot_us, struct enc *e)
{
	const struct process *owner = owner_of(w, entry);
	const char state[] = {entry->state, '\0'};
	size_t mark = enc_map_begin(e), n = 11;
	bool truncated;

	enc_kv_int(e, "pid", entry->pid);
	enc_kv_int(e, "ppid", entry->ppid);
	enc_kv_text(e, "comm", entry->comm);
	enc_str(e, "argv");
	truncated = encode_argv(
		entry->argv_len ? buf_bytes(&w->argv) + entry->argv : "", entry->argv_len, max, e);
	enc_kv_uint(e, "uid", entry->uid);
	enc_kv_str(e, "state", state);
	enc_kv_uint(e, "started_us", boot_us + entry->started_us);
	enc_kv_uint(e, "rss", entry->rss);
	enc_kv_uint(e, "user_ms", entry->user_ms);
	enc_kv_uint(e, "system_ms", entry->system_ms);
	enc_kv_uint(e, "threads", entry->threads);
	if (truncated || entry->argv_truncated) {
		enc_kv_bool(e, "argv_truncated", true);
		n++;
	}
	if (owner) {
		enc_kv_text(e, "id", owner->id);
		n++;
	}
	enc_map_end(e, mark, n);
}

static int try_all(struct req *req, const struct walk *walk, size_t max)
{
	uint64_t boot_us = clock_real_us() - clock_boot_us();
	struct enc e;

	req_reply_begin(req, &e);
	enc_array(&e, walk->n);
	for (size_t i = 0; i < walk->n; i++)
		encode_entry(walk, &walk->at[i], max, boot_us, &e);
	return req_try_reply_end(req, &e);
}

static void send_all(struct req *req)
{
	struct survey *l = req->chan.owner;
	bool sent = false;

	for (size_t i = 0; i < ARRAY_LEN(argv_max) && !sent; i++)
		sent = try_all(req, &l->walk, argv_max[i]) == 0;
	list_free(l);
	if (!sent)
		fail_too_long(req);
}

static void list_work(struct job *job)
{
	struct survey *l = CONTAINER_OF(job, struct survey, job);

	l->err = walk_proc(&l->walk);
}

static void list_done(struct job *job)
{
	struct survey *l = CONTAINER_OF(job, struct survey, job);
	struct req *req = l->req;
	int err = l->err;

	if (req && !err && l->walk.truncated)
		err = ERR_LIMIT;
	if (req && !err) {
		l->walked = true;
		req_reply_later(req, send_all);
		return;
	}
	list_free(l);
	if (req && err == ERR_LIMIT)
		req_fail(req, err, "more than max_walk (%u) processes", MAX_WALK);
	else if (req)
		req_fail(req, err, "cannot read /proc: %s", strerror(-err));
}

/* Not before the worker is done with it. */
static void abandon(struct survey *l)
{
	l->req = NULL;
	if (l->walked)
		list_free(l);
}

static void list_cancel(void *owner)
{
	struct survey *l = owner;
	struct req *req = l->req;

	abandon(l);
	req_fail(req, ERR_CANCELED, "canceled");
}

static void list_gone(void *owner)
{
	abandon(owner);
}

static const struct chan_ops chan_ops = {.cancel = list_cancel, .gone = list_gone};

static void list_call(struct req *req, void *args)
{
	const struct list_args *a = args;
	struct survey *l;

	if (!a->all) {
		req_reply_later(req, send_own);
		return;
	}
	l = xcalloc(1, sizeof(*l));
	l->req = req;
	l->job = (struct job){.class = JOB_QUICK, .work = list_work, .done = list_done};
	if (job_submit(&l->job) < 0) {
		free(l);
		req_fail(req, ERR_BUSY, "too many jobs wait for a worker");
		return;
	}
	chan_open(req, &chan_ops, l);
}

METHOD(proc_list) = {
	.name = "proc.list",
	.doc = "Lists the processes that the agent started, or all of the guest.",
	.args = list_table,
	.args_size = sizeof(struct list_args),
	.call = list_call,
};
