/* proc/record.c - what an agent notes of each process, for the one that comes after it */
#include "proc/record.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "guestd/req.h"
#include "proc/cgroup.h"
#include "proc/keep.h"
#include "proc/process.h"
#include "proto/enc.h"
#include "proto/limits.h"
#include "proto/scan.h"

/* Another one where fields are renamed or retyped: more of them are for an older agent no record. */
#define VERSION 1

static const struct arg record_table[] = {
	ARG_NAMED(struct record, spec.id, "id", .required = true),
	ARG_NAMED(struct record, spec.argv, "argv", .required = true),
	ARG_NAMED(struct record, spec.label, "label"),
	ARG_NAMED(struct record, spec.target, "target"),
	ARG_NAMED(struct record, spec.want_stdin, "stdin"),
	ARG_NAMED(struct record, spec.pty.given, "pty"),
	ARG_NAMED(struct record, spec.merge, "merge"),
	ARG_NAMED(struct record, spec.timeout_ms, "timeout_ms"),
	ARG_NAMED(struct record, spec.grace_ms, "grace_ms", .dflt = 5000),
	ARG_NAMED(struct record, spec.ring, "ring", .dflt = RING_DEFAULT, .max = RING_MAX),
	ARG(struct record, user, .required = true),
	ARG(struct record, cwd, .required = true),
	ARG(struct record, pid, .required = true, .min = 1, .max = INT32_MAX),
	ARG(struct record, started_us),
	ARG(struct record, started_mono_us),
	ARG_NAMED(struct record, cloned_us[0], "cloned_after_us", .required = true),
	ARG_NAMED(struct record, cloned_us[1], "cloned_before_us", .required = true),
	ARG_NAMED(struct record, pipe[0], "stdin_pipe"),
	ARG_NAMED(struct record, pipe[1], "stdout_pipe"),
	ARG_NAMED(struct record, pipe[2], "stderr_pipe"),
	ARG(struct record, argv_truncated),
	ARG(struct record, dies),
	ARG(struct record, exited),
	ARG(struct record, status, .max = UINT16_MAX),
	ARG(struct record, exited_us),
	ARG(struct record, duration_us),
	ARG_END,
};

/* Writing */

/* By which a successor recognizes a pipe: that of its end FD, or of OTHER until the program runs. */
static uint64_t inode_of(int fd, int other)
{
	struct stat st;

	fd = fd >= 0 ? fd : other;
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) ? st.st_ino : 0;
}

static void find_pipes(const struct process *p, uint64_t pipe[3])
{
	const struct process_pipes *t = &p->pipes;

	/* A successor must not open again what was ended: nobody would end it a second time. */
	pipe[0] = p->in.ending || p->in.broken ? 0 : inode_of(p->in.fd, t->in[1]);
	pipe[1] = inode_of(p->out[0].source.fd, t->out[0]);
	pipe[2] = inode_of(p->out[1].source.fd, t->err[0]);
}

static size_t encode_spec(const struct process *p, struct enc *e)
{
	static const char *const pipe_names[] = {"stdin_pipe", "stdout_pipe", "stderr_pipe"};
	const struct spec *spec = p->spec;
	uint64_t pipe[3];
	size_t n = 7;

	enc_kv_bool(e, "stdin", spec->want_stdin);
	enc_kv_bool(e, "pty", spec->pty.given);
	enc_kv_bool(e, "merge", spec->merge);
	enc_kv_bool(e, "dies", spec->on_disconnect == DISCONNECT_KILL);
	enc_kv_uint(e, "timeout_ms", spec->timeout_ms);
	enc_kv_uint(e, "grace_ms", spec->grace_ms);
	enc_kv_uint(e, "ring", spec->ring);
	if (spec->target) {
		enc_kv_text(e, "target", spec->target);
		n++;
	}
	if (spec->label && strlen(spec->label) <= RECORD_LABEL_MAX) {
		enc_kv_text(e, "label", spec->label);
		n++;
	} else if (spec->label) {
		log_limited(LOG_INFO, "record", "a label is too long for a note id=%s bytes=%zu",
			p->id, strlen(spec->label));
	}
	find_pipes(p, pipe);
	for (int i = 0; i < 3; i++) {
		if (!pipe[i])
			continue;
		enc_kv_uint(e, pipe_names[i], pipe[i]);
		n++;
	}
	return n;
}

static size_t encode_life(const struct process *p, struct enc *e)
{
	enc_kv_int(e, "pid", p->pid);
	enc_kv_uint(e, "started_us", p->exit.started_us);
	enc_kv_uint(e, "started_mono_us", p->started_mono_us);
	enc_kv_uint(e, "cloned_after_us", p->birth.cloned_us[0]);
	enc_kv_uint(e, "cloned_before_us", p->birth.cloned_us[1]);
	if (!process_has_exited(p) || p->exit.unknown)
		return 5;
	enc_kv_bool(e, "exited", true);
	enc_kv_uint(e, "status", (uint64_t)p->exit.status);
	enc_kv_uint(e, "exited_us", p->exit.exited_us);
	enc_kv_uint(e, "duration_us", p->exit.duration_us);
	return 9;
}

/* Before the program runs the spawn knows what the process will have noted then. */
static size_t encode_person(const struct process *p, struct enc *e)
{
	const struct spawn *s = p->spawn;
	bool truncated;

	enc_kv_text(e, "id", p->id);
	enc_kv_text(e, "user", s ? s->account.name : p->user);
	enc_kv_text(e, "cwd", s ? s->cwd : p->cwd);
	enc_str(e, "argv");
	spec_encode_argv(p->spec, s ? s->account.shell : p->shell, RECORD_ARGV_MAX, e, &truncated);
	enc_kv_bool(e, "argv_truncated", truncated || p->birth.argv_truncated);
	return 5;
}

void record_write(struct process *p)
{
	static struct buf buf = {.max = CGROUP_NOTE_MAX};
	struct enc e = {.buf = &buf};
	size_t mark, n;

	record_forget(p);
	if (!p->cgroup)
		return;
	p->birth.noted = true;
	enc_array(&e, 2);
	enc_uint(&e, VERSION);
	mark = enc_map_begin(&e);
	n = encode_person(p, &e) + encode_spec(p, &e) + encode_life(p, &e);
	enc_map_end(&e, mark, n);
	if (e.failed)
		log_limited(LOG_WARN, "record", "too long for a note id=%s", p->id);
	else
		cgroup_note(p->cgroup, buf_bytes(&buf), buf_len(&buf));
	keep_output(p);
	buf_consume(&buf, buf_len(&buf));
}

/* Sooner or later */

#define SOON_S 0.05

static struct {
	struct list queue; /* process.record_link, the oldest first */
	struct ev_timer timer;
} soon = {.queue = {&soon.queue, &soon.queue}};

static void on_soon(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	uint64_t now = clock_mono_us();

	(void)revents;
	list_each_safe(link, &soon.queue) {
		struct process *p = CONTAINER_OF(link, struct process, record_link);

		if (now - p->started_mono_us < (uint64_t)(SOON_S * 1000000))
			return;
		record_write(p);
	}
	ev_timer_stop(ev, w);
}

void record_start(void)
{
	ev_timer_init(&soon.timer, on_soon, 0, SOON_S);
}

void record_stop(void)
{
	ev_timer_stop(loop_ev(), &soon.timer);
}

void record_begin(struct process *p)
{
	if (p->spec->id) {
		record_write(p);
	} else if (p->cgroup) {
		list_add_tail(&soon.queue, &p->record_link);
		if (!ev_is_active(&soon.timer))
			ev_timer_again(loop_ev(), &soon.timer);
	}
}

void record_forget(struct process *p)
{
	list_del(&p->record_link);
}

/* Reading */

const struct record *record_read(
	const char *note, size_t len, struct arena **arena, char *why, size_t why_len)
{
	struct record *r;
	struct scan scan;
	uint64_t version;

	*arena = NULL;
	if (scan_message(note, len, &scan)) {
		snprintf(why, why_len, "%s", scan.why);
		return NULL;
	}
	if (scan.n_parts != 2 || !span_uint(&scan.part[0], &version) || version != VERSION) {
		snprintf(why, why_len, "not of version %d", VERSION);
		return NULL;
	}
	*arena = params_new(sizeof(*r) + 16 + args_size(record_table, &scan.part[1]));
	r = *arena ? arena_alloc(*arena, sizeof(*r)) : NULL;
	if (!r) {
		snprintf(why, why_len, "out of memory");
	} else if (args_decode(record_table, &scan.part[1], r, *arena, why, why_len) == 0) {
		if (*r->spec.id && r->spec.argv.n && r->spec.ring &&
			r->cloned_us[0] <= r->cloned_us[1]) {
			r->spec.on_disconnect = r->dies ? DISCONNECT_KILL : DISCONNECT_KEEP;
			return r;
		}
		snprintf(why, why_len, "it contradicts itself");
	}
	params_free(*arena);
	*arena = NULL;
	return NULL;
}
