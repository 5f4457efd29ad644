/*
 * system/info.c - system.info: what the guest is, and what it runs on
 *
 * Files can block, so they are read on a worker, into the call's own memory.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "guestd/config.h"
#include "guestd/end.h"
#include "guestd/identity.h"
#include "guestd/job.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "proto/limits.h"
#include "proto/version.h"
#include "system/features.h"
#include "system/rss.h"

struct os_pair {
	const char *key, *value;
};

struct info {
	struct req *req; /* NULL: it was canceled, or its connection is gone */
	struct job job;

	/* written by the worker */
	struct utsname uts;
	char os_text[OS_RELEASE_MAX]; /* cut up into: */
	struct os_pair os[OS_RELEASE_KEYS];
	size_t n_os;
	char machine_id[33]; /* "" = none */
	uint64_t uptime_ms, memory, rss;
	long cpus;
};

/* Does a backslash before NEXT stand for NEXT alone? */
static bool escapes(char quote, char next)
{
	return next && (quote == '"' ? strchr("\"\\$`", next) != NULL : !quote);
}

/*
 * The value of an assignment of os-release(5), unquoted in its place: what a shell would make of
 * it.  Without quotes it ends at a blank.
 */
static void unquote(char *value)
{
	char *out = value, quote = '\0';

	for (const char *p = value; *p; p++) {
		if (!quote && (*p == ' ' || *p == '\t' || *p == '\r'))
			break;
		if (*p == quote) {
			quote = '\0';
		} else if (!quote && (*p == '"' || *p == '\'')) {
			quote = *p;
		} else {
			p += *p == '\\' && escapes(quote, p[1]);
			*out++ = *p;
		}
	}
	*out = '\0';
}

/* The last assignment to a key counts. */
static void os_set(struct info *info, const char *key, const char *value)
{
	size_t i = 0;

	while (i < info->n_os && strcmp(info->os[i].key, key) != 0)
		i++;
	if (i == OS_RELEASE_KEYS)
		return;
	info->os[i] = (struct os_pair){.key = key, .value = value};
	info->n_os = MAX(info->n_os, i + 1);
}

static void parse_os_line(struct info *info, char *line)
{
	char *equals;

	line += strspn(line, " \t");
	equals = strchr(line, '=');
	if (!equals || equals == line)
		return;
	for (char *p = line; p < equals; p++) {
		if (!isalnum((unsigned char)*p) && *p != '_')
			return; /* a comment, for one */
		*p = (char)tolower((unsigned char)*p);
	}
	*equals = '\0';
	unquote(equals + 1);
	os_set(info, line, equals + 1);
}

static void read_os(struct info *info)
{
	char *rest = info->os_text, *line;

	if (fd_read_file("/etc/os-release", info->os_text, sizeof(info->os_text)) < 0 &&
		fd_read_file("/usr/lib/os-release", info->os_text, sizeof(info->os_text)) < 0)
		return;
	while ((line = strsep(&rest, "\n")))
		parse_os_line(info, line);
}

static void read_machine_id(struct info *info)
{
	char text[40];

	/* Empty or "uninitialized" until the first boot is through: machine-id(5). */
	if (fd_read_file("/etc/machine-id", text, sizeof(text)) > 0 &&
		strspn(text, "0123456789abcdef") == sizeof(info->machine_id) - 1)
		snprintf(info->machine_id, sizeof(info->machine_id), "%.32s", text);
}

static void info_work(struct job *job)
{
	struct info *info = CONTAINER_OF(job, struct info, job);
	struct sysinfo mem;
	struct timespec up;

	uname(&info->uts);
	read_os(info);
	read_machine_id(info);
	info->rss = rss_bytes();
	info->cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (sysinfo(&mem) == 0)
		info->memory = (uint64_t)mem.totalram * mem.mem_unit;
	if (clock_gettime(CLOCK_BOOTTIME, &up) == 0)
		info->uptime_ms = (uint64_t)up.tv_sec * 1000 + (uint64_t)up.tv_nsec / 1000000;
}

static void encode_os(const struct info *info, struct enc *e)
{
	enc_str(e, "os");
	enc_map_end(e, enc_map_begin(e), info->n_os);
	for (size_t i = 0; i < info->n_os; i++)
		enc_kv_text(e, info->os[i].key, info->os[i].value);
}

static void encode_info(const struct info *info, struct enc *e)
{
	size_t mark = enc_map_begin(e), n = 17;

	enc_kv_str(e, "version", GUESTD_VERSION);
	enc_kv_uint(e, "protocol", PROTOCOL_VERSION);
	enc_kv_str(e, "kind", config()->kind == KIND_COMPUTER ? "computer" : "sandbox");
	enc_kv_text(e, "hostname", info->uts.nodename);
	enc_kv_str(e, "arch", info->uts.machine);
	enc_kv_str(e, "kernel", info->uts.release);
	encode_os(info, e);
	enc_kv_str(e, "boot_id", identity()->boot_id);
	if (info->machine_id[0]) {
		enc_kv_str(e, "machine_id", info->machine_id);
		n++;
	}
	enc_kv_uint(e, "uptime_ms", info->uptime_ms);
	enc_kv_bool(e, "init", agent_is_init());
	if (identity()->console) {
		enc_kv_text(e, "console", identity()->console);
		n++;
	}
	enc_kv_uint(e, "cpus", (uint64_t)MAX(info->cpus, 1));
	enc_kv_uint(e, "memory", info->memory);
	enc_kv_bool(e, "cgroup2", identity()->cgroups != NULL);
	enc_kv_str(e, "process_trees", identity()->cgroups ? "cgroup2" : "session");
	enc_kv_uint(e, "rss", info->rss);
	enc_kv_str(e, "instance", identity()->instance);
	features_encode(e);
	enc_map_end(e, mark, n);
}

static void info_done(struct job *job)
{
	struct info *info = CONTAINER_OF(job, struct info, job);
	struct enc e;

	if (info->req) {
		req_reply_begin(info->req, &e);
		encode_info(info, &e);
		req_reply_end(info->req, &e);
	}
	free(info);
}

static void info_cancel(void *owner)
{
	struct info *info = owner;
	struct req *req = info->req;

	info->req = NULL;
	req_fail(req, ERR_CANCELED, "canceled");
}

static void info_gone(void *owner)
{
	struct info *info = owner;

	info->req = NULL;
}

static const struct chan_ops chan_ops = {.cancel = info_cancel, .gone = info_gone};

static void info_call(struct req *req, void *args)
{
	struct info *info = xcalloc(1, sizeof(*info));
	int err;

	(void)args;
	info->job = (struct job){.class = JOB_QUICK, .work = info_work, .done = info_done};
	info->req = req;
	err = job_submit(&info->job);
	if (err) {
		free(info);
		req_fail(req, ERR_BUSY, "%u jobs are waiting for a worker: try again later",
			MAX_QUEUED_JOBS);
		return;
	}
	chan_open(req, &chan_ops, info);
}

METHOD(system_info) = {
	.name = "system.info",
	.doc = "Says what the guest is: system, kernel, processors, memory, and the agent in it.",
	.call = info_call,
};
