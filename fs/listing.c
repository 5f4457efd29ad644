/* fs/listing.c - the entries below a directory */
#include "fs/listing.h"

#include <dirent.h>
#include <errno.h>

#include "fs/glob.h"

/* Of an event or a result, what stands around the entries. */
#define AROUND 64u

struct block {
	struct step *step;
	struct enc e; /* of the event, while `open` */
	size_t mark, start, n;
	bool open;
};

static bool canceled(const void *ctx)
{
	return work_canceled(ctx);
}

static int begin(struct listing *l, const struct listing_options *o, struct work *w)
{
	int err = o->ignore ? glob_check(o->ignore, "ignore", &w->failure) : 0;

	if (err)
		return err;
	l->begun = true;
	skipped_begin(&l->skipped, w);
	buf_init(&l->one, w->max_result);
	err = fs_walk_start(&l->walk, o->path, FS_WALK_FOLLOW_ROOT, canceled, w);
	if (err)
		return work_fail(w, err, o->path, "cannot list %s", o->path);
	enc_map_begin(&w->result);
	enc_str(&w->result, "entries");
	l->mark = enc_array_begin(&w->result);
	return 0;
}

static int end(struct listing *l, struct work *w)
{
	enc_array_end(&w->result, l->mark, (size_t)l->n);
	enc_kv_bool(&w->result, "truncated", l->truncated);
	enc_map_end(&w->result, 0, 2 + skipped_encode(&l->skipped, &w->result));
	return 0;
}

/* Events */

static void close_event(struct block *b)
{
	if (!b->open)
		return;
	enc_array_end(&b->e, b->mark, b->n);
	step_event_end(b->step, &b->e);
	b->open = false;
}

static void open_event(struct block *b)
{
	step_event_begin(b->step, &b->e);
	b->start = buf_len(b->e.buf);
	enc_map_end(&b->e, enc_map_begin(&b->e), 2);
	enc_kv_str(&b->e, "type", "entries");
	enc_str(&b->e, "entries");
	b->mark = enc_array_begin(&b->e);
	b->n = 0;
	b->open = true;
}

static void send_entry(struct listing *l, const struct work *w, struct block *b)
{
	size_t len = buf_len(&l->one);

	if (b->open && buf_len(b->e.buf) - b->start + len + AROUND > w->max_result)
		close_event(b);
	if (!b->open)
		open_event(b);
	if (buf_add(b->e.buf, buf_bytes(&l->one), len) < 0)
		b->e.failed = true;
	b->n++;
}

/* The result */

/* False: it is full. */
static bool keep_entry(struct listing *l, const struct listing_options *o, struct work *w)
{
	size_t len = buf_len(&l->one);

	if ((o->limit && l->n == o->limit) ||
		buf_len(&w->out) + len + skipped_reserve(&l->skipped) + AROUND > w->max_result)
		return false;
	if (buf_add(&w->out, buf_bytes(&l->one), len) < 0)
		return false;
	l->n++;
	return true;
}

/* Both */

/* False where it cannot be told: it is gone, or among those that are skipped now. */
static bool encode(struct listing *l, const struct listing_options *o,
	const struct fs_walk_item *item, struct entry_names *names)
{
	struct enc e = {.buf = &l->one};
	int err = entry_read(item->dir, item->name, false, &l->entry);

	if (!err) {
		buf_consume(&l->one, buf_len(&l->one));
		entry_encode(&l->entry, item->path, o->show_depth ? item->depth : 0, names, &e);
		if (e.failed || buf_len(&l->one) + AROUND > l->one.max)
			err = ERR_LIMIT;
	}
	if (err && err != -ENOENT)
		skipped_add(&l->skipped, item->path, err);
	return !err;
}

static bool is_wanted(const struct listing_options *o, const struct fs_walk_item *item)
{
	if (o->no_hidden && *item->name == '.')
		return false;
	return !o->ignore || !glob_ignored(o->ignore, item->below, item->type == DT_DIR);
}

/* One item of the walk: STEP_MORE, 0 where there is no room for it, or an error. */
static int take(struct listing *l, const struct listing_options *o, struct work *w,
	const struct fs_walk_item *item, struct entry_names *names, struct block *b)
{
	if (item->what == FS_WALK_LEAVE)
		return STEP_MORE;
	if (item->what == FS_WALK_FAILED) {
		if (item->depth == 0)
			return work_fail(w, item->err, o->path, "cannot list %s", o->path);
		skipped_add(&l->skipped, item->path, item->err);
		return STEP_MORE;
	}
	if (!is_wanted(o, item) || !encode(l, o, item, names)) {
		fs_walk_skip(&l->walk);
		return STEP_MORE;
	}
	if (o->depth && item->depth >= o->depth)
		fs_walk_skip(&l->walk);
	if (o->stream) {
		send_entry(l, w, b);
	} else if (!keep_entry(l, o, w)) {
		l->truncated = true;
		return 0;
	}
	return STEP_MORE;
}

static int take_some(struct listing *l, const struct listing_options *o, struct work *w,
	struct step *s, struct block *b)
{
	struct fs_walk_item item;
	struct entry_names names;
	int err = STEP_MORE;

	entry_names_begin(&names);
	while (err == STEP_MORE && !step_due(s)) {
		int more = fs_walk_next(&l->walk, &item);

		if (more <= 0)
			err = more;
		else
			err = take(l, o, w, &item, &names, b);
	}
	entry_names_end(&names);
	return err;
}

int listing_step(struct listing *l, const struct listing_options *o, struct work *w, struct step *s)
{
	struct block b = {.step = s};
	int err = l->begun ? 0 : begin(l, o, w);

	if (err)
		return err;
	err = take_some(l, o, w, s, &b);
	close_event(&b);
	return err ? err : end(l, w);
}

void listing_fini(struct listing *l)
{
	fs_walk_fini(&l->walk);
	skipped_fini(&l->skipped);
	buf_fini(&l->one);
}
