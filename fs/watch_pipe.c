/* fs/watch_pipe.c - what the kernel reports becomes what a client is told */
#include "fs/watch_pipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "fs/watch_impl.h"
#include "proto/err.h"
#include "proto/limits.h"

/*
 * The second half of a rename comes right behind the first one, unless it leads elsewhere; between
 * the two, the thread that renames may lose its processor.
 */
#define FROM_WAIT_US 50000u

#define PATH_BYTES_MAX (1u << 20) /* a frame holds no longer one */

/* An event as it lies in the queue, its two names behind it. */
struct queued {
	uint64_t key, to_key;
	uint32_t cookie;
	uint16_t name_len, to_len;
	uint8_t kind;
	bool dir, used;
};

/* The event at hand was not dealt with so far: what is in its way goes first. */
#define AGAIN 1101

/* ... or its other half may still come. */
#define WAIT 1102

/* It was, but its other half stands for itself. */
#define HALF 1103

/* The queue */

size_t watch_pipe_room(const struct watch_pipe *p)
{
	return p->queue.max - buf_len(&p->queue);
}

void watch_pipe_feed(struct watch_pipe *p, const struct watch_event *ev)
{
	struct queued q = {
		.key = ev->key,
		.to_key = ev->to_key,
		.cookie = ev->cookie,
		.name_len = (uint16_t)ev->name_len,
		.to_len = (uint16_t)ev->to_len,
		.kind = (uint8_t)ev->kind,
		.dir = ev->dir,
	};
	size_t len = sizeof(q) + ev->name_len + ev->to_len;
	char *at = buf_reserve(&p->queue, len);

	ASSERT(at && ev->name_len <= UINT16_MAX && ev->to_len <= UINT16_MAX);
	memcpy(at, &q, sizeof(q));
	memcpy(at + sizeof(q), ev->name, ev->name_len);
	memcpy(at + sizeof(q) + ev->name_len, ev->to_name, ev->to_len);
	buf_commit(&p->queue, len);
	p->asked = false;
}

/* The event at OFFSET: its length, 0 where there is none. */
static size_t queue_at(
	const struct watch_pipe *p, size_t offset, struct queued *q, const char **name)
{
	const char *at = buf_bytes(&p->queue) + offset;

	if (offset >= buf_len(&p->queue))
		return 0;
	memcpy(q, at, sizeof(*q));
	*name = at + sizeof(*q);
	return sizeof(*q) + q->name_len + q->to_len;
}

static bool is_of_names(unsigned kind)
{
	return kind == WATCH_CREATE || kind == WATCH_DELETE || kind == WATCH_FROM ||
	       kind == WATCH_TO;
}

/* The other half of FROM, which is at the head of the queue.  0: it may still come; -1: it will not. */
static ssize_t find_other_half(const struct watch_pipe *p, const struct queued *from, size_t offset)
{
	const char *name;
	struct queued q;
	size_t len;

	for (; (len = queue_at(p, offset, &q, &name)); offset += len) {
		if (q.used)
			continue;
		if (q.kind == WATCH_TO && q.cookie == from->cookie)
			return (ssize_t)offset;
		/* The directory was locked until both were queued. */
		if (q.kind == WATCH_OVERFLOW || (is_of_names(q.kind) && q.key == from->key))
			return -1;
	}
	return 0;
}

static void set_used(struct watch_pipe *p, size_t offset)
{
	static const bool yes = true;

	memcpy(buf_bytes(&p->queue) + offset + offsetof(struct queued, used), &yes, sizeof(yes));
}

static bool is_dir(const struct watch_pipe *p, uint32_t entry)
{
	return picture_at(&p->picture, entry)->flags & PICTURE_DIR;
}

/* The events */

struct target {
	uint32_t dir, entry; /* 0: it is not known */
	const char *name;
	size_t len;
	bool around; /* the root itself, in the directory around it */
	bool ignored;
};

/* False: it is none of ours. */
static bool find_target(struct watch_pipe *p, uint64_t key, const char *name, size_t len, bool dir,
	struct target *t)
{
	const char *path;

	*t = (struct target){.name = name, .len = len};
	if (key == p->o.around_key && key) {
		t->around = strlen(p->o.name) == len && memcmp(p->o.name, name, len) == 0;
		t->entry = t->around ? p->root : 0;
		return t->around;
	}
	t->dir = picture_by_key(&p->picture, key);
	if (!t->dir || !len)
		return t->dir != 0;
	t->entry = picture_find(&p->picture, t->dir, name, len);
	if (!t->entry && p->o.ignore && p->o.ignore->n) {
		path = watch_path_in(p, t->dir, name, len);
		t->ignored = path && watch_ignores(p, path, dir);
	}
	return true;
}

static int look_at(struct watch_pipe *p, const struct target *t, struct watch_stat *st)
{
	int err;

	if (t->around)
		return watch_look(p, p->root, st);
	err = watch_look_in(p, t->dir, t->name, t->len, st);
	if (err == -ESTALE)
		watch_unsure(p, t->dir);
	return err;
}

static void check_root(struct watch_pipe *p)
{
	struct watch_stat st;
	int err = watch_look(p, p->root, &st);

	if (err == -ENOENT || err == -ENOTDIR ||
		(!err && st.id != picture_at(&p->picture, p->root)->id))
		p->gone = true;
	else if (is_dir(p, p->root) && !picture_at(&p->picture, p->root)->key)
		watch_scan_begin(p, p->root, false);
}

/* Something has that name now, which had none. */
static int on_appeared(struct watch_pipe *p, const struct target *t, bool dir, bool moved)
{
	struct watch_stat st = {0};
	bool there;

	if (t->ignored)
		return 0;
	if (t->entry && !moved && picture_at(&p->picture, t->entry)->flags & PICTURE_ABSENT) {
		/* That was gone before. */
		watch_removal_begin(p, t->entry, false, false);
		return AGAIN;
	}
	there = look_at(p, t, &st) == 0;
	if (!there)
		st.dir = dir;       /* gone again, as an event will tell */
	if (!there && moved && dir) /* and that it came from within */
		return 0;
	if (!t->entry)
		return watch_scan_new(p, t->dir, t->name, t->len, &st, 0);
	if (is_dir(p, t->entry) != st.dir) {
		if (t->entry == p->root) {
			p->gone = true;
			return 0;
		}
		watch_removal_begin(p, t->entry, false, false);
		return AGAIN;
	}
	if (there && st.id == picture_at(&p->picture, t->entry)->id) {
		/* A directory that was read has told of it. */
		if (st.dir && p->o.recursive && !picture_at(&p->picture, t->entry)->key)
			watch_scan_begin(p, t->entry, false);
		return 0;
	}
	if (st.dir) {
		if (there)
			watch_removal_begin(p, t->entry, false, false);
		p->doubt = true;
		return there ? AGAIN : 0;
	}
	if (there)
		watch_set_stat(p, t->entry, &st);
	if (!moved)
		return watch_mark(p, t->entry, PICTURE_MODIFIED);
	picture_at(&p->picture, t->entry)->flags &= (uint16_t)~PICTURE_ABSENT;
	picture_at(&p->picture, t->entry)->flags |= PICTURE_NEW | PICTURE_REPLACED;
	watch_scan_begin(p, t->entry, false);
	return 0;
}

static int on_disappeared(struct watch_pipe *p, const struct target *t)
{
	if (t->entry && t->entry != p->root)
		watch_removal_begin(p, t->entry, false, false);
	return 0;
}

/* What is known of that name is not to be relied upon. */
static int on_check(struct watch_pipe *p, const struct target *t)
{
	const struct picture_entry *e;
	struct watch_stat st;
	int err;

	if (t->ignored)
		return 0;
	err = look_at(p, t, &st);
	if (err == -ENOENT || err == -ENOTDIR)
		watch_absent(p, t->entry);
	if (err)
		return 0;
	if (!t->entry || st.dir != is_dir(p, t->entry) ||
		st.id != picture_at(&p->picture, t->entry)->id) {
		p->doubt |= st.dir;
		return on_appeared(p, t, st.dir, false);
	}
	/* What was written may have been told before, as of another file with that name. */
	e = picture_at(&p->picture, t->entry);
	if (!st.dir && (st.mtime_ns != e->mtime_ns || st.size != e->size))
		return watch_mark(p, t->entry, PICTURE_MODIFIED);
	return 0;
}

static void check_next(struct watch_pipe *p, uint64_t key, const char *name, size_t len)
{
	struct watch_check *check = &p->check[p->n_checks];

	if (len >= sizeof(check->name) || p->n_checks == ARRAY_LEN(p->check))
		return;
	check->key = key;
	memcpy(check->name, name, len);
	check->name[len] = '\0';
	p->n_checks++;
}

/* From F, which is known, to T. */
static int move(struct watch_pipe *p, const struct target *f, const struct target *t)
{
	struct watch_report r = {.type = WATCH_RENAMED, .dir = is_dir(p, f->entry)};
	uint64_t from_key = f->dir ? picture_at(&p->picture, f->dir)->key : 0;
	struct watch_stat st;
	bool taken;
	int err;

	if (t->entry && is_dir(p, t->entry)) {
		/* It was empty: what is in it has been read ahead of this event, F maybe. */
		p->replaced = !picture_at(&p->picture, t->entry)->child;
		p->doubt |= !p->replaced;
		p->taken = true;
		watch_removal_begin(p, t->entry, p->replaced, false);
		return AGAIN;
	}
	r.replaced = p->replaced || t->entry;
	taken = p->taken || t->entry;
	p->replaced = p->taken = false;
	err = watch_tell_pending(p, f->entry);
	if (err)
		return err;
	if (t->entry)
		picture_remove(&p->picture, t->entry);
	r.old_path = watch_path(p, f->entry);
	if (!r.old_path || buf_len(&p->path) > p->old_path.max)
		return -ENAMETOOLONG;
	buf_consume(&p->old_path, buf_len(&p->old_path));
	if (buf_add(&p->old_path, buf_bytes(&p->path), buf_len(&p->path)) < 0 ||
		picture_move(&p->picture, f->entry, t->dir, t->name, t->len) < 0)
		return -ENOMEM;
	r.old_path = buf_bytes(&p->old_path);
	r.path = watch_path(p, f->entry);
	if (!r.path)
		return -ENAMETOOLONG;
	p->ops->report(p->ctx, &r);
	/* Other names in it are ignored now; or it had left when it was to be watched. */
	if (r.dir && p->o.recursive &&
		(p->patterns_of_paths || !picture_at(&p->picture, f->entry)->key))
		watch_scan_begin(p, f->entry, false);
	/*
	 * The two may have been exchanged, which the kernel tells as two renames: something is where F
	 * was, and what was read there lies in the way of the second rename.
	 */
	check_next(p, from_key, f->name, f->len);
	if (taken)
		check_next(p, picture_at(&p->picture, t->dir)->key, t->name, t->len);
	if (r.dir || watch_look(p, f->entry, &st) < 0 ||
		st.id == picture_at(&p->picture, f->entry)->id || st.dir)
		return 0;
	/* It is another one: what was exchanged is read ahead, or this was renamed once more. */
	watch_set_stat(p, f->entry, &st);
	return watch_mark(p, f->entry, PICTURE_MODIFIED);
}

static int on_renamed(struct watch_pipe *p, const struct target *f, struct target *t, bool dir)
{
	if (f->around) {
		check_root(p);
		return 0;
	}
	if (!f->entry)
		return t ? on_appeared(p, t, dir, true) : 0;
	if (t && t->entry == f->entry)
		return 0;
	if (is_dir(p, f->entry) != dir) { /* it is read ahead: not this was renamed */
		check_next(p, picture_at(&p->picture, f->dir)->key, f->name, f->len);
		watch_removal_begin(p, f->entry, false, false);
		p->doubt = true;
		return HALF;
	}
	if (t && !t->around && !t->ignored && !picture_is_within(&p->picture, t->dir, f->entry))
		return move(p, f, t);
	check_next(p, picture_at(&p->picture, f->dir)->key, f->name, f->len);
	return on_disappeared(p, f);
}

static int on_from(struct watch_pipe *p, const struct queued *q, const struct target *f, size_t len)
{
	ssize_t offset = f->entry ? find_other_half(p, q, len) : -1;
	struct target t;
	struct queued to;
	const char *name;
	bool known;
	int err;

	if (f->around || !f->entry)
		return on_renamed(p, f, NULL, q->dir);
	if (offset == 0) {
		uint64_t now = p->ops->now_us(p->ctx);

		if (!p->from_since_us)
			p->from_since_us = now;
		p->wait_us = p->from_since_us + FROM_WAIT_US;
		if (now < p->wait_us)
			return WAIT;
		offset = -1;
	}
	if (offset < 0) {
		err = on_renamed(p, f, NULL, q->dir);
		return err == HALF ? 0 : err;
	}
	ASSERT(queue_at(p, (size_t)offset, &to, &name));
	known = find_target(p, to.key, name, to.name_len, to.dir, &t);
	err = on_renamed(p, f, known ? &t : NULL, q->dir);
	if (err == HALF)
		return 0;
	if (err != AGAIN)
		set_used(p, (size_t)offset);
	return err;
}

static int on_rename(struct watch_pipe *p, const struct queued *q, const struct target *f,
	bool from, const char *name)
{
	static const struct target nowhere;
	struct target t;
	int err;
	bool to = find_target(p, q->to_key, name + q->name_len, q->to_len, q->dir, &t);

	if (to && t.around && !(from && f->around)) {
		check_root(p);
		return 0;
	}
	err = on_renamed(p, from ? f : &nowhere, to ? &t : NULL, q->dir);
	return err == HALF ? 0 : err;
}

static int on_written(struct watch_pipe *p, const struct target *t, unsigned kind)
{
	const struct picture_entry *e;
	struct watch_stat st;

	if (!t->entry)
		return on_check(p, t); /* it exists, so it seems */
	e = picture_at(&p->picture, t->entry);
	if (e->flags & PICTURE_DIR)
		return 0;
	if (kind == WATCH_CLOSE && (e->flags & PICTURE_MODIFIED || look_at(p, t, &st) < 0 ||
					   (st.mtime_ns == e->mtime_ns && st.size == e->size)))
		return 0;
	return watch_mark(p, t->entry, PICTURE_MODIFIED);
}

static int on_attributes(struct watch_pipe *p, const struct target *t)
{
	if (!t->entry)
		return on_check(p, t);
	/* May it be read by now? */
	if (is_dir(p, t->entry) && p->o.recursive && !picture_at(&p->picture, t->entry)->key)
		watch_scan_begin(p, t->entry, false);
	return watch_mark(p, t->entry, PICTURE_ATTRIBUTES);
}

static int on_stopped(struct watch_pipe *p, uint32_t dir)
{
	picture_set_key(&p->picture, dir, 0);
	p->watches--;
	if (dir == p->root)
		check_root(p);
	else
		watch_scan_begin(p, dir, false); /* what is in its place, if anything? */
	return 0;
}

/* Of a directory itself. */
static int on_own(struct watch_pipe *p, const struct queued *q, uint32_t dir)
{
	if (!dir)
		return 0;
	if (q->kind == WATCH_STOPPED)
		return on_stopped(p, dir);
	if (q->kind == WATCH_ATTRIB && (dir == p->root || p->o.own_attributes))
		return on_attributes(p, &(struct target){.entry = dir});
	if (q->kind == WATCH_SELF && dir == p->root)
		check_root(p);
	return 0;
}

/* The root, as the directory around it tells.  Beside what is told as of any other. */
static int on_root(struct watch_pipe *p, const struct queued *q, const struct target *t)
{
	switch (q->kind) {
	case WATCH_CREATE:
	case WATCH_TO:
	case WATCH_CHECK:
		if (is_dir(p, p->root))
			check_root(p);
		else
			return q->kind == WATCH_CHECK
				       ? on_check(p, t)
				       : on_appeared(p, t, q->dir, q->kind == WATCH_TO);
		return 0;
	case WATCH_ATTRIB:
		/* Of a directory, its own watch tells that. */
		return is_dir(p, p->root) ? 0 : on_attributes(p, t);
	case WATCH_MODIFY:
	case WATCH_CLOSE:
		return on_written(p, t, q->kind);
	default:
		check_root(p);
		return 0;
	}
}

/* 0, AGAIN, WAIT or an error. */
static int apply(struct watch_pipe *p, const struct queued *q, const char *name, size_t len)
{
	struct target t;
	bool ours = find_target(p, q->key, name, q->name_len, q->dir, &t);

	if (q->kind == WATCH_OVERFLOW) {
		p->rescan = true;
		return 0;
	}
	if (q->kind == WATCH_RENAME)
		return on_rename(p, q, &t, ours, name);
	if (!ours)
		return 0;
	if (!q->name_len)
		return on_own(p, q, t.dir);
	if (t.around && q->kind != WATCH_FROM)
		return on_root(p, q, &t);
	switch (q->kind) {
	case WATCH_CREATE:
		return on_appeared(p, &t, q->dir, false);
	case WATCH_TO:
		return on_appeared(p, &t, q->dir, true);
	case WATCH_DELETE:
		return on_disappeared(p, &t);
	case WATCH_FROM:
		return on_from(p, q, &t, len);
	case WATCH_MODIFY:
	case WATCH_CLOSE:
		return on_written(p, &t, q->kind);
	case WATCH_ATTRIB:
		return on_attributes(p, &t);
	case WATCH_CHECK:
		return on_check(p, &t);
	default:
		return 0;
	}
}

/* The event at the head of the queue.  WAIT: there is none, or it waits for its other half. */
static int next_event(struct watch_pipe *p)
{
	const char *name;
	struct queued q;
	size_t len = queue_at(p, 0, &q, &name);
	int err = 0;

	if (!len)
		return WAIT;
	if (!q.used)
		err = apply(p, &q, name, len);
	if (err == AGAIN)
		return 0;
	if (err == WAIT)
		return WAIT;
	p->from_since_us = 0;
	buf_consume(&p->queue, len);
	return err;
}

static int check_name(struct watch_pipe *p)
{
	const struct watch_check *check = &p->check[p->n_checks - 1];
	struct target t;
	int err = 0;

	if (find_target(p, check->key, check->name, strlen(check->name), false, &t) && !t.around)
		err = on_check(p, &t);
	if (err == AGAIN)
		return 0;
	p->n_checks--;
	return err;
}

/* From the start */

int watch_pipe_init(struct watch_pipe *p, const struct watch_options *options,
	const struct watch_ops *ops, void *ctx)
{
	struct watch_stat st;
	int err;

	memset(p, 0, sizeof(*p));
	p->o = *options;
	p->ops = ops;
	p->ctx = ctx;
	picture_init(&p->picture);
	buf_init(&p->queue, WATCH_QUEUE_MAX);
	buf_init(&p->path, PATH_BYTES_MAX);
	buf_init(&p->old_path, PATH_BYTES_MAX);
	for (size_t i = 0; p->o.ignore && i < p->o.ignore->n; i++) {
		const char *slash = strchr(p->o.ignore->at[i], '/');

		p->patterns_of_paths |= slash && slash[1];
	}
	err = ops->look(ctx, &(struct watch_place){.dir = "", .name = ""}, &st);
	if (err)
		return err;
	p->root = picture_add(&p->picture, 0, "", 0);
	if (!p->root)
		return -ENOMEM;
	picture_at(&p->picture, p->root)->flags = st.dir ? PICTURE_DIR : 0;
	watch_set_stat(p, p->root, &st);
	watch_scan_begin(p, p->root, true);
	return 0;
}

void watch_pipe_fini(struct watch_pipe *p)
{
	picture_fini(&p->picture);
	buf_fini(&p->queue);
	buf_fini(&p->path);
	buf_fini(&p->old_path);
	free(p->pending.at);
	p->pending.at = NULL;
}

void watch_pipe_rescan(struct watch_pipe *p)
{
	p->rescan = true;
}

/* Whatever was not looked at so far is in what the scan finds. */
static void begin_rescan(struct watch_pipe *p)
{
	static const struct watch_report overflowed = {.type = WATCH_OVERFLOWED, .path = ""};

	p->rescan = false;
	p->n_checks = 0;
	p->from_since_us = 0;
	buf_clear(&p->queue);
	p->ops->drain(p->ctx);
	if (!p->resyncing)
		p->ops->report(p->ctx, &overflowed);
	p->resyncing = true;
	check_root(p);
	watch_scan_begin(p, p->root, false);
}

/* The scan is over: all is told that is known. */
static int end_rescan(struct watch_pipe *p)
{
	static const struct watch_report resynced = {.type = WATCH_RESYNCED, .path = ""};

	if (p->pending.n)
		return watch_tell_oldest(p);
	p->resyncing = false;
	p->ops->report(p->ctx, &resynced);
	return 0;
}

static bool is_due(const struct watch_pipe *p)
{
	return p->pending.n && p->pending.at[p->pending.first].due_us <= p->ops->now_us(p->ctx);
}

/* 0: that was a step of it; or a pipe_result, or an error. */
static int step(struct watch_pipe *p)
{
	int err;

	if (p->removal.at)
		return watch_removal_step(p);
	if (p->gone)
		return PIPE_GONE;
	if (p->scan.at)
		return watch_scan_step(p);
	if (p->unsure_since_us)
		watch_end_try(p);
	if (!p->ready) {
		p->ready = true;
		return PIPE_READY;
	}
	if (p->rescan) {
		begin_rescan(p);
		return 0;
	}
	if (p->resyncing)
		return end_rescan(p);
	if (is_due(p))
		return watch_tell_oldest(p);
	if (p->n_checks)
		return check_name(p);
	p->wait_us = UINT64_MAX;
	err = next_event(p);
	if (err != WAIT)
		return err;
	return !buf_len(&p->queue) && watch_try_unsure(p) ? 0 : PIPE_IDLE;
}

int watch_pipe_run(struct watch_pipe *p)
{
	int err = 0;

	while (!err)
		err = p->ops->full(p->ctx) ? PIPE_MORE : step(p);
	if (err == PIPE_IDLE && p->pending.n)
		p->wait_us = MIN(p->wait_us, p->pending.at[p->pending.first].due_us);
	return err;
}
