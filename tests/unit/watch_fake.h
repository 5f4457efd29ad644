/*
 * tests/unit/watch_fake.h - a file system in memory, for the pipe of fs.watch
 *
 *	fake_start(&f, &options);
 *	fake_mkdir(&f, "/a");		// changes it, and notes what inotify would tell
 *	fake_deliver(&f, SIZE_MAX);	// feeds the pipe with that
 *	fake_run(&f);			// f.log: "created /a/\n"
 *
 * Events are delivered when the test says so, so that what the pipe looks at is ahead of them, as it
 * is on a machine.
 */
#ifndef TESTS_UNIT_WATCH_FAKE_H
#define TESTS_UNIT_WATCH_FAKE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include "fs/watch_pipe.h"
#include "proto/err.h"
#include "tests/unit/unit.h"

#define FAKE_NODES  128
#define FAKE_EVENTS 65536
#define FAKE_NAME   32

/* A name; those with the same inode are hard links.  The root is 0. */
struct fake_node {
	bool used;
	int parent;
	char name[FAKE_NAME];
	int inode;
};

struct fake_inode {
	uint64_t id, key;
	bool dir, barred;
	int64_t mtime;
	uint64_t size;
	uint32_t attributes;
};

struct fake_event {
	enum watch_kind kind;
	bool dir;
	uint64_t key;
	uint32_t cookie;
	char name[FAKE_NAME];
};

struct fake {
	struct watch_pipe pipe;
	struct fake_node node[FAKE_NODES];
	struct fake_inode inode[FAKE_NODES];
	struct fake_event *event;
	size_t n_events, delivered;
	bool silent;    /* what changes is not told */
	bool gone;      /* the root */
	uint64_t n_ids; /* and keys */
	uint32_t n_cookies;
	uint64_t now_us;
	int reading, reading_inode, at;
	unsigned opened, drained;
	uint64_t max_keys;         /* 0: any */
	unsigned room, full_after; /* reports that fit into a run; 0: any */
	/* Called before each look at a file: others change them meanwhile. */
	void (*meanwhile)(struct fake *f);
	/* Called between the moment that a directory is watched and the one that it is read. */
	void (*between)(struct fake *f, const char *path);
	char log[1 << 20];
	size_t log_len;
};

/* The file system */

static int fake_child(const struct fake *f, int parent, const char *name, size_t len)
{
	for (int i = 1; i < FAKE_NODES; i++) {
		const struct fake_node *n = &f->node[i];

		if (n->used && n->parent == parent && strlen(n->name) == len &&
			memcmp(n->name, name, len) == 0)
			return i;
	}
	return -1;
}

/* "" is the root. */
static int fake_find(const struct fake *f, const char *path)
{
	int at = f->gone ? -1 : 0;

	while (at >= 0 && *path) {
		size_t len = strcspn(path + 1, "/");

		at = fake_child(f, at, path + 1, len);
		path += len + 1;
	}
	return at;
}

static struct fake_inode *fake_inode(struct fake *f, int node)
{
	return &f->inode[f->node[node].inode];
}

static void fake_tell(struct fake *f, enum watch_kind kind, int dir, const char *name, bool of_dir,
	uint32_t cookie)
{
	struct fake_event *ev = &f->event[f->n_events];
	uint64_t key = fake_inode(f, dir)->key;

	if (f->silent || !key)
		return;
	assert_true(f->n_events < FAKE_EVENTS);
	*ev = (struct fake_event){.kind = kind, .dir = of_dir, .key = key, .cookie = cookie};
	snprintf(ev->name, sizeof(ev->name), "%s", name);
	f->n_events++;
}

static int fake_new_node(struct fake *f)
{
	int i = 1;

	while (f->node[i].used)
		assert_true(++i < FAKE_NODES);
	return i;
}

/* Splits PATH: the node of the directory, -1 where there is none, and the name in it. */
static int fake_split(const struct fake *f, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char dir[1024];
	int at;

	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	*name = slash + 1;
	at = fake_find(f, dir);
	return at >= 0 && f->inode[f->node[at].inode].dir ? at : -1;
}

/* A new inode under PATH; false where that cannot be. */
static bool fake_make(struct fake *f, const char *path, bool dir)
{
	const char *name;
	int parent = fake_split(f, path, &name), i = fake_new_node(f), inode = 1;

	if (parent < 0 || fake_child(f, parent, name, strlen(name)) >= 0)
		return false;
	while (f->inode[inode].id)
		assert_true(++inode < FAKE_NODES);
	f->node[i] = (struct fake_node){.used = true, .parent = parent, .inode = inode};
	snprintf(f->node[i].name, FAKE_NAME, "%s", name);
	/* Numbers are used again at once, as file systems do. */
	f->inode[inode] = (struct fake_inode){.id = (uint64_t)inode + 1,
		.dir = dir,
		.mtime = (int64_t)++f->n_ids,
		.attributes = 1};
	fake_tell(f, WATCH_CREATE, parent, name, dir, 0);
	return true;
}

static inline bool fake_mkdir(struct fake *f, const char *path)
{
	return fake_make(f, path, true);
}

static inline bool fake_create(struct fake *f, const char *path)
{
	return fake_make(f, path, false);
}

static inline bool fake_write(struct fake *f, const char *path)
{
	int i = fake_find(f, path);

	if (i <= 0 || fake_inode(f, i)->dir)
		return false;
	fake_inode(f, i)->mtime = (int64_t)++f->n_ids;
	fake_inode(f, i)->size++;
	fake_tell(f, WATCH_MODIFY, f->node[i].parent, f->node[i].name, false, 0);
	fake_tell(f, WATCH_CLOSE, f->node[i].parent, f->node[i].name, false, 0);
	return true;
}

static inline bool fake_chmod(struct fake *f, const char *path)
{
	int i = fake_find(f, path);

	if (i <= 0)
		return false;
	fake_inode(f, i)->attributes++;
	fake_tell(f, WATCH_ATTRIB, f->node[i].parent, f->node[i].name, fake_inode(f, i)->dir, 0);
	if (fake_inode(f, i)->dir)
		fake_tell(f, WATCH_ATTRIB, i, "", true, 0);
	return true;
}

static inline bool fake_link(struct fake *f, const char *from, const char *to)
{
	const char *name;
	int i = fake_find(f, from), parent = fake_split(f, to, &name), n = fake_new_node(f);

	if (i <= 0 || parent < 0 || fake_inode(f, i)->dir ||
		fake_child(f, parent, name, strlen(name)) >= 0)
		return false;
	f->node[n] = f->node[i];
	f->node[n].parent = parent;
	snprintf(f->node[n].name, FAKE_NAME, "%s", name);
	fake_tell(f, WATCH_CREATE, parent, name, false, 0);
	return true;
}

static bool fake_is_empty(const struct fake *f, int dir)
{
	for (int i = 1; i < FAKE_NODES; i++) {
		if (f->node[i].used && f->node[i].parent == dir)
			return false;
	}
	return true;
}

/* The name is gone; its inode, if it was the last one. */
static void fake_drop(struct fake *f, int node)
{
	int inode = f->node[node].inode;

	f->node[node].used = false;
	for (int i = 1; i < FAKE_NODES; i++) {
		if (f->node[i].used && f->node[i].inode == inode)
			return;
	}
	if (f->inode[inode].dir) {
		f->node[node].used = true; /* for its own event */
		fake_tell(f, WATCH_STOPPED, node, "", false, 0);
		f->node[node].used = false;
	}
	f->inode[inode] = (struct fake_inode){0};
}

static inline bool fake_remove(struct fake *f, const char *path)
{
	int i = fake_find(f, path);

	if (i <= 0 || !fake_is_empty(f, i))
		return false;
	fake_tell(f, WATCH_DELETE, f->node[i].parent, f->node[i].name, fake_inode(f, i)->dir, 0);
	fake_drop(f, i);
	return true;
}

static bool fake_is_within(const struct fake *f, int node, int above)
{
	while (node > 0 && node != above)
		node = f->node[node].parent;
	return node == above;
}

static void fake_tell_move(
	struct fake *f, int from, const char *name, int to, const char *to_name, bool dir)
{
	uint32_t cookie = ++f->n_cookies;

	fake_tell(f, WATCH_FROM, from, name, dir, cookie);
	fake_tell(f, WATCH_TO, to, to_name, dir, cookie);
}

static inline bool fake_rename(struct fake *f, const char *from, const char *to)
{
	const char *name;
	char old[FAKE_NAME];
	int i = fake_find(f, from), parent = fake_split(f, to, &name), there, old_parent;

	if (i <= 0 || parent < 0 || fake_is_within(f, parent, i))
		return false;
	there = fake_child(f, parent, name, strlen(name));
	if (there >= 0 && (f->node[there].inode == f->node[i].inode ||
				  fake_inode(f, there)->dir != fake_inode(f, i)->dir ||
				  !fake_is_empty(f, there)))
		return false;
	old_parent = f->node[i].parent;
	memcpy(old, f->node[i].name, sizeof(old));
	f->node[i].parent = parent;
	snprintf(f->node[i].name, FAKE_NAME, "%s", name);
	fake_tell_move(f, old_parent, old, parent, name, fake_inode(f, i)->dir);
	if (there >= 0)
		fake_drop(f, there);
	return true;
}

static inline bool fake_exchange(struct fake *f, const char *a, const char *b)
{
	int i = fake_find(f, a), k = fake_find(f, b);
	struct fake_node was;

	if (i <= 0 || k <= 0 || i == k || fake_is_within(f, k, i) || fake_is_within(f, i, k))
		return false;
	was = f->node[i];
	f->node[i].parent = f->node[k].parent;
	memcpy(f->node[i].name, f->node[k].name, FAKE_NAME);
	f->node[k].parent = was.parent;
	memcpy(f->node[k].name, was.name, FAKE_NAME);
	fake_tell_move(
		f, was.parent, was.name, f->node[i].parent, f->node[i].name, fake_inode(f, i)->dir);
	fake_tell_move(
		f, f->node[i].parent, f->node[i].name, was.parent, was.name, fake_inode(f, k)->dir);
	return true;
}

/* To where nobody watches; 0 leads back from there.  What is outside has the parent -2. */
static inline int fake_take_out(struct fake *f, const char *path)
{
	int i = fake_find(f, path);

	if (i <= 0)
		return 0;
	fake_tell(f, WATCH_FROM, f->node[i].parent, f->node[i].name, fake_inode(f, i)->dir,
		++f->n_cookies);
	f->node[i].parent = -2;
	return i;
}

static inline bool fake_bring_in(struct fake *f, int node, const char *path)
{
	const char *name;
	int parent = fake_split(f, path, &name);

	if (parent < 0 || fake_child(f, parent, name, strlen(name)) >= 0)
		return false;
	f->node[node].parent = parent;
	snprintf(f->node[node].name, FAKE_NAME, "%s", name);
	fake_tell(f, WATCH_TO, parent, name, fake_inode(f, node)->dir, ++f->n_cookies);
	return true;
}

/* What the pipe asks for */

static void fake_stat(struct fake *f, int node, struct watch_stat *st)
{
	const struct fake_inode *inode = fake_inode(f, node);

	*st = (struct watch_stat){
		.id = inode->id,
		.mtime_ns = inode->mtime,
		.size = inode->size,
		.attributes = inode->attributes,
		.dir = inode->dir,
	};
}

static void fake_others(struct fake *f)
{
	void (*meanwhile)(struct fake * f) = f->meanwhile;

	f->meanwhile = NULL;
	if (meanwhile)
		meanwhile(f);
	f->meanwhile = meanwhile;
}

/* The node, or -errno. */
static int fake_place(struct fake *f, const struct watch_place *at)
{
	int dir, i;

	fake_others(f);
	dir = fake_find(f, at->dir);
	if (!*at->name)
		return f->gone ? -ENOENT : 0;
	if (dir < 0 || fake_inode(f, dir)->id != at->dir_id)
		return -ESTALE;
	i = fake_child(f, dir, at->name, strlen(at->name));
	return i < 0 ? -ENOENT : i;
}

static int fake_open(void *ctx, const struct watch_place *at, struct watch_stat *st, uint64_t *key)
{
	struct fake *f = ctx;
	int i = fake_place(f, at);
	struct fake_inode *inode;
	char path[1024];

	if (i < 0)
		return i;
	inode = fake_inode(f, i);
	if (!inode->dir)
		return -ENOTDIR;
	if (inode->barred)
		return -EACCES;
	if (!inode->key) {
		if (f->max_keys && f->pipe.watches >= f->max_keys)
			return ERR_LIMIT;
		inode->key = ++f->n_ids;
	}
	fake_stat(f, i, st);
	*key = inode->key;
	f->opened++;
	snprintf(path, sizeof(path), "%s%s%s", at->dir, *at->name ? "/" : "", at->name);
	if (f->between)
		f->between(f, path);
	f->reading = i;
	f->reading_inode = f->node[i].inode;
	f->at = 1;
	return 0;
}

static int fake_next(void *ctx, const char **name, bool *dir)
{
	struct fake *f = ctx;

	fake_others(f);
	if (!f->node[f->reading].used || f->node[f->reading].inode != f->reading_inode)
		return 0;
	for (; f->at < FAKE_NODES; f->at++) {
		const struct fake_node *n = &f->node[f->at];

		if (!n->used || n->parent != f->reading)
			continue;
		*name = n->name;
		*dir = f->inode[n->inode].dir;
		f->at++;
		return 1;
	}
	return 0;
}

static int fake_stat_in(void *ctx, const char *name, struct watch_stat *st)
{
	struct fake *f = ctx;
	char copy[FAKE_NAME];
	int i;

	snprintf(copy, sizeof(copy), "%s", name);
	fake_others(f);
	i = fake_child(f, f->reading, copy, strlen(copy));
	if (i < 0)
		return -ENOENT;
	fake_stat(f, i, st);
	return 0;
}

static void fake_close(void *ctx)
{
	(void)ctx;
}

static int fake_look(void *ctx, const struct watch_place *at, struct watch_stat *st)
{
	int i = fake_place(ctx, at);

	if (i < 0)
		return i;
	fake_stat(ctx, i, st);
	return 0;
}

static void fake_unwatch(void *ctx, uint64_t key)
{
	struct fake *f = ctx;

	for (int i = 0; i < FAKE_NODES; i++) {
		if (f->inode[i].key == key)
			f->inode[i].key = 0;
	}
}

static void fake_drain(void *ctx)
{
	struct fake *f = ctx;

	f->delivered = f->n_events;
	f->drained++;
}

static void fake_report(void *ctx, const struct watch_report *r)
{
	static const char *const names[] = {"created", "modified", "deleted", "renamed",
		"attributes", "unwatched", "overflow", "resync"};
	struct fake *f = ctx;

	f->room -= f->room > 0;
	f->log_len += (size_t)snprintf(f->log + f->log_len, sizeof(f->log) - f->log_len,
		"%s%s%s%s%s%s%s\n", names[r->type], r->old_path ? " " : "",
		r->old_path ? r->old_path : "", *r->path ? " " : "", r->path, r->dir ? "/" : "",
		r->replaced ? " replaced" : "");
	assert_true(f->log_len < sizeof(f->log));
}

static bool fake_full(void *ctx)
{
	const struct fake *f = ctx;

	return f->full_after && !f->room;
}

static uint64_t fake_now(void *ctx)
{
	return ((struct fake *)ctx)->now_us;
}

static const struct watch_ops fake_ops = {
	.open = fake_open,
	.next = fake_next,
	.stat = fake_stat_in,
	.close = fake_close,
	.look = fake_look,
	.unwatch = fake_unwatch,
	.drain = fake_drain,
	.report = fake_report,
	.full = fake_full,
	.now_us = fake_now,
};

/* The test's side */

static inline struct fake *fake_new(void)
{
	struct fake *f = calloc(1, sizeof(*f));

	f->event = calloc(FAKE_EVENTS, sizeof(*f->event));
	f->node[0].used = true;
	f->node[0].parent = -1;
	f->inode[0] = (struct fake_inode){.id = 1, .dir = true};
	f->now_us = 1000000;
	return f;
}

static inline void fake_free(struct fake *f)
{
	watch_pipe_fini(&f->pipe);
	free(f->event);
	free(f);
}

/* What the pipe returned, once it wants nothing but events, or it is over. */
static inline int fake_run(struct fake *f)
{
	int result;

	do {
		f->room = f->full_after;
		result = watch_pipe_run(&f->pipe);
	} while (result == PIPE_MORE);
	return result;
}

/* Up to and with PIPE_READY. */
static inline void fake_start(struct fake *f, const struct watch_options *options)
{
	static const struct watch_options recursive = {.recursive = true, .coalesce_us = 20000};

	assert_int_equal(
		watch_pipe_init(&f->pipe, options ? options : &recursive, &fake_ops, f), 0);
	assert_int_equal(fake_run(f), PIPE_READY);
	assert_int_equal(fake_run(f), PIPE_IDLE);
	assert_string_equal(f->log, "");
}

static inline void fake_feed(struct fake *f, const struct fake_event *ev)
{
	const struct watch_event out = {
		.kind = ev->kind,
		.dir = ev->dir,
		.cookie = ev->cookie,
		.key = ev->key,
		.name = ev->name,
		.name_len = strlen(ev->name),
		.to_name = "",
	};

	watch_pipe_feed(&f->pipe, &out);
}

/* N events, if there are so many, and room for them. */
static inline void fake_deliver(struct fake *f, size_t n)
{
	while (n-- && f->delivered < f->n_events && watch_pipe_room(&f->pipe) > 200)
		fake_feed(f, &f->event[f->delivered++]);
}

static inline void fake_pass(struct fake *f, uint64_t ms)
{
	f->now_us += ms * 1000;
}

/* All events, and what they lead to, until nothing waits any more: the log since the last time. */
static inline const char *fake_settle(struct fake *f)
{
	f->log_len = 0;
	f->log[0] = '\0';
	do {
		fake_deliver(f, SIZE_MAX);
		if (fake_run(f) != PIPE_IDLE)
			break;
		if (f->delivered == f->n_events && f->pipe.wait_us != UINT64_MAX)
			f->now_us = MAX(f->now_us, f->pipe.wait_us);
	} while (f->delivered < f->n_events || f->pipe.wait_us != UINT64_MAX);
	return f->log;
}

#endif
