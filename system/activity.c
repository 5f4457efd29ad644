/*
 * system/activity.c - system.activity: what a host needs to decide that a guest is idle
 *
 * CPU time is read on a worker: of the cgroup of all processes where there is one, of each of them
 * otherwise.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "guestd/activity.h"
#include "guestd/conn.h"
#include "guestd/identity.h"
#include "guestd/job.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "system/numbers.h"
#include "system/sample.h"

struct look {
	struct req *req; /* NULL: it was canceled, or its connection is gone */
	struct job job;
	struct activity_processes processes;
	uint64_t cpu_us; /* by the worker */
};

/* utime, stime, cutime, cstime: fields 14 to 17 of proc_pid_stat(5). */
static uint64_t process_cpu_us(pid_t pid)
{
	char path[40], text[1024];
	uint64_t t[4];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (fd_read_file(path, text, sizeof(text)) <= 0)
		return 0;
	p = strrchr(text, ')'); /* a name may hold anything */
	if (!p || numbers(behind_words(p + 1, 11), t, 4) != 4)
		return 0;
	return (t[0] + t[1] + t[2] + t[3]) * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static void look_work(struct job *job)
{
	struct look *l = CONTAINER_OF(job, struct look, job);

	l->cpu_us = identity()->cgroups ? cgroup_cpu_us(identity()->cgroups) : UINT64_MAX;
	if (l->cpu_us != UINT64_MAX)
		return;
	l->cpu_us = l->processes.ended_us;
	for (size_t i = 0; i < l->processes.n; i++)
		l->cpu_us += process_cpu_us(l->processes.pids[i]);
}

static void look_done(struct job *job)
{
	struct look *l = CONTAINER_OF(job, struct look, job);
	struct enc e;

	if (l->req) {
		req_reply_begin(l->req, &e);
		enc_map_end(&e, enc_map_begin(&e), 6);
		enc_kv_uint(&e, "last_us", activity()->last_us);
		enc_kv_uint(&e, "calls", activity()->calls);
		enc_kv_uint(&e, "connections", conn_count());
		enc_kv_uint(&e, "processes", l->processes.n);
		enc_kv_uint(&e, "cpu_busy_ms", l->cpu_us / 1000);
		enc_kv_uint(&e, "net_bytes", activity()->net_bytes);
		req_reply_end(l->req, &e);
	}
	free(l);
}

static void look_cancel(void *owner)
{
	struct look *l = owner;
	struct req *req = l->req;

	l->req = NULL;
	req_fail(req, ERR_CANCELED, "canceled");
}

static void look_gone(void *owner)
{
	((struct look *)owner)->req = NULL;
}

static const struct chan_ops chan_ops = {.cancel = look_cancel, .gone = look_gone};

static void activity_call(struct req *req, void *args)
{
	struct look *l = xcalloc(1, sizeof(*l));

	(void)args;
	l->req = req;
	l->job = (struct job){.class = JOB_QUICK, .work = look_work, .done = look_done};
	activity_list(&l->processes);
	if (job_submit(&l->job)) {
		free(l);
		req_fail(req, ERR_BUSY, "%u jobs are waiting for a worker: try again later",
			MAX_QUEUED_JOBS);
		return;
	}
	chan_open(req, &chan_ops, l);
}

METHOD(system_activity) = {
	.name = "system.activity",
	.doc = "Says what the guest does for its host: is it idle?",
	.call = activity_call,
	.quiet = true,
};
