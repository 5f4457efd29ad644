/*
 * fs/watch.c - fs.watch: tells what changes below a directory, until it is canceled
 *
 * A call in steps (guestd/steps.h).  A step reads what the kernel tells (watch_kernel.h), lets the pipe
 * make events of it (watch_pipe.h), and sends them; then it waits for more without a worker.  A client
 * that does not read keeps the steps from being done: the kernel queues then, up to its bound, and
 * when that overflows the tree is compared with what is known of it.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "fs/entry.h"
#include "fs/glob.h"
#include "fs/skipped.h"
#include "fs/watch_disk.h"
#include "fs/watch_kernel.h"
#include "fs/watch_pipe.h"
#include "guestd/area.h"
#include "guestd/config.h"
#include "guestd/method.h"
#include "guestd/steps.h"
#include "proto/limits.h"

struct watch_args {
	struct who who;
	const char *path;
	bool recursive;
	struct strs ignore, events;
	uint64_t coalesce_ms;
	bool entry;
};

static const struct arg watch_table[] = {
	ARG_INCLUDE(struct watch_args, who, user_table),
	ARG(struct watch_args, path, .required = true, .check = arg_abs_path),
	ARG(struct watch_args, recursive, .dflt = true),
	ARG(struct watch_args, ignore),
	ARG(struct watch_args, events),
	ARG(struct watch_args, coalesce_ms, .dflt = 20, .max = WATCH_COALESCE_MAX),
	ARG(struct watch_args, entry),
	ARG_END,
};

static const char *const type_names[] = {
	[WATCH_CREATED] = "created",
	[WATCH_MODIFIED] = "modified",
	[WATCH_DELETED] = "deleted",
	[WATCH_RENAMED] = "renamed",
	[WATCH_ATTRIBUTES] = "attributes",
	[WATCH_UNWATCHED] = "unwatched",
	[WATCH_OVERFLOWED] = "overflow",
	[WATCH_RESYNCED] = "resync",
};

/* Those that a client can choose from. */
#define N_CHOICES (WATCH_ATTRIBUTES + 1u)

/* Counts up whenever the disk may have changed behind the kernel's back. */
static atomic_uint changed_behind;

struct watch {
	struct watch_disk disk;
	struct watch_kernel kernel;
	struct watch_pipe pipe;
	struct entry_names names;
	struct entry entry;
	struct skipped skipped;
	struct buf path, old_path;
	const struct watch_args *args;
	struct work *work;
	struct step *step; /* the one at hand */
	unsigned wanted;   /* types, a bit each */
	unsigned changed;  /* as of changed_behind */
	uint64_t n_dirs;   /* that were opened before it was ready */
	bool begun, ready;
	bool over_limit; /* found before it was ready: the rest is counted only */
};

/* Sending */

/* Into OUT: the path of what lies BELOW the root, as the client calls that. */
static const char *told_path(const struct watch *t, struct buf *out, const char *below)
{
	size_t len = strlen(t->args->path);

	while (len && t->args->path[len - 1] == '/')
		len--;
	buf_consume(out, buf_len(out));
	if (buf_add(out, t->args->path, len) < 0 || buf_add(out, below, strlen(below) + 1) < 0)
		return NULL;
	return *buf_bytes(out) ? buf_bytes(out) : "/";
}

static void send_entry(struct watch *t, const char *below, const char *path, struct enc *e)
{
	struct path at;
	int err = path_open(disk_path(&t->disk, below), &at);

	if (!err)
		err = entry_read(at.dir, at.name, false, &t->entry);
	path_close(&at);
	if (!t->names.users)
		entry_names_begin(&t->names);
	enc_str(e, "entry");
	if (err)
		enc_nil(e);
	else
		entry_encode(&t->entry, path, 0, &t->names, e);
}

static void send_bare(struct watch *t, const char *type)
{
	struct enc e;

	step_event_begin(t->step, &e);
	enc_map_end(&e, enc_map_begin(&e), 1);
	enc_kv_str(&e, "type", type);
	step_event_end(t->step, &e);
}

static void send_ready(struct watch *t)
{
	struct enc e;
	size_t mark, n = 4;

	step_event_begin(t->step, &e);
	mark = enc_map_begin(&e);
	enc_kv_str(&e, "type", "ready");
	enc_kv_uint(&e, "watches", MAX(t->pipe.watches, 1)); /* a file: the directory around it */
	enc_kv_str(&e, "backend", t->kernel.backend->name);
	enc_kv_uint(&e, "entries", t->pipe.picture.count);
	if (t->disk.remote) {
		enc_kv_bool(&e, "remote", true);
		n++;
	}
	enc_map_end(&e, mark, n + skipped_encode(&t->skipped, &e));
	step_event_end(t->step, &e);
	t->ready = true;
}

static void send_unwatched(struct watch *t, const char *path, int err)
{
	struct failure f;
	struct enc e;

	failure_set(&f, err, NULL, NULL, "%s",
		err < 0 ? strerror(-err) : "its path is too long for a frame");
	step_event_begin(t->step, &e);
	enc_map_end(&e, enc_map_begin(&e), 3);
	enc_kv_str(&e, "type", type_names[WATCH_UNWATCHED]);
	enc_kv_text(&e, "path", path);
	enc_str(&e, "error");
	failure_encode(&f, &e);
	step_event_end(t->step, &e);
}

static void send_change(
	struct watch *t, const struct watch_report *r, const char *path, const char *old_path)
{
	size_t mark, n = 3;
	struct enc e;

	step_event_begin(t->step, &e);
	mark = enc_map_begin(&e);
	enc_kv_str(&e, "type", type_names[r->type]);
	enc_kv_text(&e, "path", path);
	enc_kv_bool(&e, "dir", r->dir);
	if (old_path) {
		enc_kv_text(&e, "old_path", old_path);
		n++;
	}
	if (r->replaced) {
		enc_kv_bool(&e, "replaced", true);
		n++;
	}
	if (t->args->entry) {
		send_entry(t, r->path, path, &e);
		n++;
	}
	enc_map_end(&e, mark, n);
	step_event_end(t->step, &e);
}

/* What the pipe asks for */

static int on_open(void *ctx, const struct watch_place *at, struct watch_stat *st, uint64_t *key)
{
	struct watch *t = ctx;
	int fd = disk_enter(&t->disk, at, st);
	int err;

	*key = 0;
	if (fd < 0)
		return fd;
	t->n_dirs += !t->ready;
	if (t->over_limit)
		return 0;
	err = t->kernel.backend->watch(
		&t->kernel, fd, disk_path_of(&t->disk, at), !*at->name, key, &t->work->failure);
	if (err == ERR_LIMIT && t->work->failure.err != err && !t->ready) {
		t->over_limit = true;
		return 0;
	}
	if (err)
		disk_leave(&t->disk);
	return err;
}

static int on_next(void *ctx, const char **name, bool *dir)
{
	struct watch *t = ctx;

	return work_canceled(t->work) ? -ECANCELED : disk_next(&t->disk, name, dir);
}

static int on_stat(void *ctx, const char *name, struct watch_stat *st)
{
	return disk_stat(&((struct watch *)ctx)->disk, name, st);
}

static void on_close(void *ctx)
{
	disk_leave(&((struct watch *)ctx)->disk);
}

static int on_look(void *ctx, const struct watch_place *at, struct watch_stat *st)
{
	return disk_look(&((struct watch *)ctx)->disk, at, st);
}

static void on_unwatch(void *ctx, uint64_t key)
{
	struct watch *t = ctx;

	t->kernel.backend->unwatch(&t->kernel, key);
}

static void on_drain(void *ctx)
{
	watch_kernel_drain(&((struct watch *)ctx)->kernel);
}

static void on_report(void *ctx, const struct watch_report *r)
{
	struct watch *t = ctx;
	const char *path = told_path(t, &t->path, r->path);
	const char *old_path = r->old_path ? told_path(t, &t->old_path, r->old_path) : NULL;

	if (!path || (r->old_path && !old_path))
		t->step->too_long = true;
	else if (r->type == WATCH_UNWATCHED && t->ready)
		send_unwatched(t, path, r->err);
	else if (r->type == WATCH_UNWATCHED)
		skipped_add(&t->skipped, path, r->err);
	else if (r->type >= N_CHOICES)
		send_bare(t, type_names[r->type]);
	else if (t->wanted & 1u << r->type)
		send_change(t, r, path, old_path);
}

static bool on_full(void *ctx)
{
	return step_due(((struct watch *)ctx)->step);
}

static uint64_t on_now(void *ctx)
{
	(void)ctx;
	return clock_mono_us();
}

static const struct watch_ops pipe_ops = {
	.open = on_open,
	.next = on_next,
	.stat = on_stat,
	.close = on_close,
	.look = on_look,
	.unwatch = on_unwatch,
	.drain = on_drain,
	.report = on_report,
	.full = on_full,
	.now_us = on_now,
};

/* The beginning */

static int choose_types(struct watch *t, struct failure *f)
{
	const struct strs *events = &t->args->events;

	if (!events->at)
		t->wanted = ~0u;
	for (size_t i = 0; events->at && i < events->n; i++) {
		unsigned type = 0;

		while (type < N_CHOICES && strcmp(type_names[type], events->at[i]) != 0)
			type++;
		if (type == N_CHOICES)
			return failure_set(f, ERR_BAD_PARAMS, NULL, NULL,
				"parameter events must be some of created, modified, deleted, renamed, "
				"attributes");
		t->wanted |= 1u << type;
	}
	return 0;
}

/* The directory around the root: what becomes of that.  "/" has none. */
static int watch_around(struct watch *t, struct watch_options *o)
{
	char *root = t->disk.root, *slash = strrchr(root, '/');
	struct failure *f = &t->work->failure;
	int err;

	if (!slash)
		return 0;
	*slash = '\0';
	err = t->kernel.backend->around(
		&t->kernel, *root ? root : "/", !t->disk.dir, &o->around_key, f);
	*slash = '/';
	o->name = slash + 1;
	if (err == ERR_LIMIT && f->err != err)
		t->over_limit = true;
	else if (err && !t->disk.dir)
		return err;
	f->err = 0; /* a directory tells itself of most */
	return 0;
}

static int start(struct watch *t, const struct watch_backend *backend)
{
	const struct watch_args *a = t->args;
	struct watch_options o = {
		.recursive = a->recursive,
		.ignore = &a->ignore,
		.coalesce_us = a->coalesce_ms * 1000,
		.own_attributes = backend->own_attributes,
	};
	struct work *w = t->work;
	int err = watch_kernel_start(&t->kernel, backend, &w->failure);

	if (!err)
		err = watch_around(t, &o);
	if (err)
		return err;
	err = watch_pipe_init(&t->pipe, &o, &pipe_ops, t);
	return err ? work_fail(w, err, a->path, "cannot watch %s", a->path) : 0;
}

static const struct watch_backend *backend_of(const struct watch *t)
{
	/* With the rights of a user there are no marks on file systems. */
	bool fanotify = strcmp(config()->watch_backend, "fanotify") == 0 && !t->args->who.user;

	return fanotify ? &watch_fanotify : &watch_inotify;
}

static int begin(struct watch *t, const struct watch_args *a, struct work *w)
{
	int err = glob_check(&a->ignore, "ignore", &w->failure);

	t->args = a;
	t->work = w;
	t->begun = true;
	t->changed = atomic_load(&changed_behind);
	watch_kernel_init(&t->kernel);
	skipped_begin(&t->skipped, w);
	buf_init(&t->path, MAX_FRAME);
	buf_init(&t->old_path, MAX_FRAME);
	if (!err)
		err = choose_types(t, &w->failure);
	if (!err)
		err = disk_open_root(&t->disk, a->path, &w->failure);
	t->kernel.modified = t->wanted & 1u << WATCH_MODIFIED;
	t->kernel.attributes = t->wanted & 1u << WATCH_ATTRIBUTES;
	return err ? err : start(t, backend_of(t));
}

/* ERR is the end of it, which may not have been put into words so far. */
static int fail(struct watch *t, int err)
{
	struct failure *f = &t->work->failure;
	const char *path = t->args->path;
	char limit[80];

	if (f->err == err)
		return err;
	if (err == -ENOMEM)
		return failure_set(f, ERR_LIMIT, NULL, path,
			"there is no room for more than the %u entries of %s that are known: all watches "
			"together may take %u MiB, or a quarter of the memory",
			t->pipe.picture.count, path, WATCH_TOTAL_MAX >> 20);
	if (err != ERR_LIMIT)
		return work_fail(t->work, err, path, "cannot watch %s", path);
	watch_kernel_limit("fs.inotify.max_user_watches", limit, sizeof(limit));
	return failure_set(f, err, NULL, path,
		"%s, and that is reached: this watch needs %llu (raise it, or ignore some directories)",
		limit, (unsigned long long)(t->ready ? t->pipe.watches + 2 : t->n_dirs + 1));
}

/* Nothing to do: what for does it wait? */
static int wait_for_more(struct watch *t)
{
	uint64_t now = clock_mono_us(), until = t->pipe.wait_us;

	t->step->wait_fd = t->kernel.wait_fd;
	t->step->wait_ms = 0;
	if (until != UINT64_MAX)
		t->step->wait_ms = until > now ? (unsigned)((until - now + 999) / 1000) : 1;
	return STEP_WAIT;
}

static int run(struct watch *t)
{
	for (;;) {
		int result = watch_pipe_run(&t->pipe);

		switch (result) {
		case PIPE_READY:
			if (t->over_limit)
				return fail(t, ERR_LIMIT);
			send_ready(t);
			break;
		case PIPE_MORE:
			return STEP_MORE;
		case PIPE_IDLE:
			if (!t->kernel.backend->read(&t->kernel, &t->pipe) &&
				t->pipe.wait_us > clock_mono_us())
				return wait_for_more(t);
			break;
		case PIPE_GONE:
			send_bare(t, "root_deleted");
			return 0;
		default:
			return fail(t, result);
		}
	}
}

static int watch_step(struct work *w, struct step *s)
{
	struct watch *t = w->state;
	unsigned changed = atomic_load(&changed_behind);
	int err;

	t->step = s;
	err = t->begun ? 0 : begin(t, w->args, w);
	if (err)
		return err;
	if (t->changed != changed) {
		t->changed = changed;
		watch_pipe_rescan(&t->pipe);
	}
	err = run(t);
	disk_rest(&t->disk);
	if (t->names.users)
		entry_names_end(&t->names);
	return err;
}

static void watch_end(struct work *w)
{
	struct watch *t = w->state;

	if (!t->begun)
		return;
	watch_kernel_stop(&t->kernel);
	watch_pipe_fini(&t->pipe);
	disk_close(&t->disk);
	skipped_fini(&t->skipped);
	buf_fini(&t->path);
	buf_fini(&t->old_path);
}

static const struct steps watch_steps = {
	.state_size = sizeof(struct watch),
	.step = watch_step,
	.end = watch_end,
};

METHOD(fs_watch) = {
	.name = "fs.watch",
	.doc = "Tells what changes below a directory, or of a file, until it is canceled.",
	.args = watch_table,
	.args_size = sizeof(struct watch_args),
	.steps = &watch_steps,
	.streams = true,
	WHO(struct watch_args),
};

/* The disk may be another one since. */
static void on_resumed(void)
{
	atomic_fetch_add(&changed_behind, 1);
	steps_wake(&watch_steps);
}

AREA(fs_watch) = {
	.name = "fs.watch",
	.resumed = on_resumed,
};
