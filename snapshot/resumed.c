/*
 * snapshot/resumed.c - system.resumed: what is to be made right after a restore or a clone
 *
 * In this order: file systems thaw, since the next steps may write; the clock; randomness, before
 * anything is drawn; name and machine id; then, on the loop, variables, what each area has to look at
 * anew, the connections of the host that was, the processes, who find all of it done, and last the
 * programs of the image that want to know of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "env/env.h"
#include "guestd/area.h"
#include "guestd/conn.h"
#include "guestd/event.h"
#include "guestd/identity.h"
#include "guestd/job.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "machine/clock.h"
#include "machine/entropy.h"
#include "machine/machine_id.h"
#include "machine/name.h"
#include "snapshot/freezer.h"
#include "snapshot/hooks.h"

/* A clock that is off by less is left as it is: the host's time has been under way, too. */
#define CLOCK_TOLERANCE_US 10000u

#define KEY_MAX 128u

/* The parameters of env.set. */
struct resumed_env {
	struct env_set_args set;
	bool given;
};
BUILD_ASSERT(offsetof(struct resumed_env, set) == 0); /* its table is env.set's */

struct resumed_args {
	uint64_t time_us;
	struct bytes entropy;
	const char *hostname, *key;
	bool machine_id;
	struct resumed_env env;
};

static const char *key_check(const char *key)
{
	return strlen(key) <= KEY_MAX ? NULL : "at most 128 bytes";
}

static const struct arg resumed_table[] = {
	ARG(struct resumed_args, time_us),
	ARG(struct resumed_args, entropy),
	ARG(struct resumed_args, hostname, .check = name_check),
	ARG(struct resumed_args, machine_id),
	ARG_MAP(struct resumed_args, env, env_set_table),
	ARG(struct resumed_args, key, .check = key_check),
	ARG_END,
};

/* The last one that was done, for who asks again with the same key. */
static struct {
	char key[KEY_MAX + 1];
	uint64_t epoch;
	int64_t step_us;
} last;

/* The one that goes on; the connection that asked may be gone. */
static struct resume {
	struct job job;
	struct req *req;
	struct arena *params;
	const struct resumed_args *args;
	uint64_t asked_us; /* CLOCK_MONOTONIC, when the host's time came */
	int64_t step_us;
	struct failure failure;
	int err;
} * going;

static void reply(struct req *req, uint64_t epoch, int64_t step_us)
{
	struct enc e;

	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 2);
	enc_kv_uint(&e, "epoch", epoch);
	enc_kv_int(&e, "clock_step_us", step_us);
	req_reply_end(req, &e);
}

/* On a worker */

static int fail(struct resume *r, int err, const char *stage, const char *what)
{
	return failure_set(&r->failure, err, stage, NULL, "cannot %s: %s", what, strerror(-err));
}

static int step_clock(struct resume *r)
{
	uint64_t waited = clock_mono_us() - r->asked_us;

	return clock_step(r->args->time_us + waited, CLOCK_TOLERANCE_US, &r->step_us);
}

static int set_all(struct resume *r)
{
	const struct resumed_args *a = r->args;
	int err = a->time_us ? step_clock(r) : 0;

	if (err)
		return fail(r, err, "clock", "set the clock");
	err = a->entropy.len ? entropy_add(a->entropy.at, a->entropy.len) : 0;
	if (err)
		return fail(r, err, "entropy", "reseed the kernel's generator");
	if (a->hostname && sethostname(a->hostname, strlen(a->hostname)) < 0)
		return fail(r, -errno, "hostname", "set the host's name");
	err = a->machine_id ? machine_id_renew() : 0;
	return err ? fail(r, err, "machine_id", "write /etc/machine-id") : 0;
}

static void work(struct job *job)
{
	struct resume *r = CONTAINER_OF(job, struct resume, job);

	freezer_thaw_filesystems();
	r->err = set_all(r);
}

/* On the loop */

static void tell(const struct resume *r)
{
	struct enc *e = event_begin("resumed", 0, 2);

	enc_kv_uint(e, "epoch", identity()->epoch);
	enc_kv_int(e, "clock_step_us", r->step_us);
	event_end();
	log_info("snapshot", "resumed epoch=%llu clock_step_us=%lld",
		(unsigned long long)identity()->epoch, (long long)r->step_us);
}

static int set_env(struct resume *r)
{
	const struct resumed_env *env = &r->args->env;
	struct env_change change;

	return env->given ? env_set(&env->set, &change, &r->failure) : 0;
}

static void finish(struct resume *r)
{
	identity_next_epoch();
	snprintf(last.key, sizeof(last.key), "%s", r->args->key ? r->args->key : "");
	last.epoch = identity()->epoch;
	last.step_us = r->step_us;
	tell(r);
	for (const struct area *const *a = __start_areas; a < __stop_areas; a++) {
		if ((*a)->resumed)
			(*a)->resumed();
	}
	conn_kill_all_but(r->req ? r->req->conn : NULL, "the guest was resumed");
	if (r->req)
		reply(r->req, last.epoch, last.step_us);
	freezer_thaw(NULL);
	hooks_run(last.epoch);
}

static void on_done(struct job *job)
{
	struct resume *r = CONTAINER_OF(job, struct resume, job);

	going = NULL;
	if (!r->err)
		r->err = set_env(r);
	if (!r->err)
		finish(r);
	else if (r->req)
		req_fail_with(r->req, &r->failure);
	params_free(r->params);
	free(r);
}

/* It goes on to its end: half of it would be worse. */
static void on_cancel(void *owner)
{
	(void)owner;
}

static void on_gone(void *owner)
{
	struct resume *r = owner;

	r->req = NULL;
}

static const struct chan_ops chan_ops = {.cancel = on_cancel, .gone = on_gone};

static bool is_off(const char *method)
{
	const struct method *m = method_find(method, strlen(method));

	return m && method_disabled(m);
}

/* The method that A asks for by the way and that the image has switched off; or NULL. */
static const char *switched_off(const struct resumed_args *a)
{
	const struct {
		bool asked;
		const char *method;
	} parts[] = {
		{a->time_us != 0, "system.set_time"},
		{a->entropy.len != 0, "system.reseed"},
		{a->hostname != NULL, "system.hostname"},
		{a->env.set.vars.n != 0, "env.set"},
	};

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		if (parts[i].asked && is_off(parts[i].method))
			return parts[i].method;
	}
	return NULL;
}

static void resumed_call(struct req *req, void *args)
{
	const struct resumed_args *a = args;
	const char *off = switched_off(a);
	struct resume *r;

	if (off) {
		req_fail(req, ERR_DISABLED,
			"%s is switched off in this guest, and with it what it does here", off);
		return;
	}

	if (going) {
		req_fail(req, ERR_BUSY, "system.resumed goes on already: ask again with its key");
		return;
	}
	if (a->key && *a->key && strcmp(a->key, last.key) == 0) {
		reply(req, last.epoch, last.step_us);
		return;
	}
	if (a->entropy.len > ENTROPY_MAX) {
		req_fail(req, ERR_BAD_PARAMS, "entropy has %zu bytes: at most %u", a->entropy.len,
			ENTROPY_MAX);
		return;
	}
	r = xcalloc(1, sizeof(*r));
	r->job = (struct job){.class = JOB_QUICK, .work = work, .done = on_done};
	r->req = req;
	r->args = a;
	r->params = req_take_params(req);
	r->asked_us = clock_mono_us();
	if (job_submit(&r->job) < 0) {
		params_free(r->params);
		free(r);
		req_fail(req, ERR_BUSY, "too many calls wait for a worker");
		return;
	}
	going = r;
	chan_open(req, &chan_ops, r);
}

METHOD(system_resumed) = {
	.name = "system.resumed",
	.doc = "Makes the guest right after a restore or a clone.",
	.args = resumed_table,
	.args_size = sizeof(struct resumed_args),
	.call = resumed_call,
	.changes = true,
	.secret = true,
};
