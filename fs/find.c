/* fs/find.c - fs.find: the files below a directory that have a name, or are of a type */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/entry.h"
#include "fs/glob.h"
#include "fs/skipped.h"
#include "fs/walk.h"
#include "guestd/method.h"
#include "guestd/steps.h"
#include "proto/limits.h"

/* Of an event, what stands around path and entry. */
#define AROUND 64u

struct find_args {
	struct who who;
	const char *path, *name, *type;
	uint64_t max_depth;
	struct strs ignore;
	uint64_t limit;
};

static const char *check_type(const char *value);

static const struct arg find_table[] = {
	ARG_INCLUDE(struct find_args, who, user_table),
	ARG(struct find_args, path, .required = true, .check = arg_abs_path),
	ARG(struct find_args, name),
	ARG(struct find_args, type, .check = check_type),
	ARG(struct find_args, max_depth),
	ARG(struct find_args, ignore),
	ARG(struct find_args, limit, .dflt = 10000, .min = 1),
	ARG_END,
};

struct find {
	struct fs_walk walk;
	struct skipped skipped;
	struct entry_names names;
	struct entry entry;
	struct buf one; /* a match on its way: does it fit into an event? */
	uint64_t matches;
	bool begun, truncated;
};

static const char *check_type(const char *value)
{
	for (const char *const *t = entry_types; *t; t++) {
		if (strcmp(*t, value) == 0)
			return NULL;
	}
	return "one of file, dir, symlink, fifo, socket, char, block";
}

static bool canceled(const void *ctx)
{
	return work_canceled(ctx);
}

static int begin(struct find *f, const struct find_args *a, struct work *w)
{
	const struct strs name = {.at = (const char **)&a->name, .n = a->name ? 1 : 0};
	int err = glob_check(&a->ignore, "ignore", &w->failure);

	if (!err)
		err = glob_check(&name, "name", &w->failure);
	if (err)
		return err;
	f->begun = true;
	skipped_begin(&f->skipped, w);
	buf_init(&f->one, w->max_result - AROUND);
	err = fs_walk_start(&f->walk, a->path, FS_WALK_FOLLOW_ROOT, canceled, w);
	return err ? work_fail(w, err, a->path, "cannot search %s", a->path) : 0;
}

static int end(struct find *f, struct work *w)
{
	size_t mark = enc_map_begin(&w->result);

	enc_kv_uint(&w->result, "matches", f->matches);
	enc_kv_bool(&w->result, "truncated", f->truncated);
	enc_map_end(&w->result, mark, 2 + skipped_encode(&f->skipped, &w->result));
	return 0;
}

/* By what the directory says, where it says it: most files are not even looked at. */
static bool may_match(const struct find_args *a, const struct fs_walk_item *item)
{
	if (a->name && !glob_name(a->name, item->name))
		return false;
	return !a->type || item->type == DT_UNKNOWN ||
	       strcmp(entry_type(DTTOIF(item->type)), a->type) == 0;
}

/* Into f->one: 0 or -errno, ERR_LIMIT. */
static int encode(struct find *f, const struct fs_walk_item *item)
{
	struct enc e = {.buf = &f->one};
	int err = entry_read(item->dir, item->name, false, &f->entry);

	if (err)
		return err;
	buf_consume(&f->one, buf_len(&f->one));
	enc_kv_text(&e, "path", item->path);
	enc_str(&e, "entry");
	entry_encode(&f->entry, item->path, 0, &f->names, &e);
	return e.failed ? ERR_LIMIT : 0;
}

static void send(struct find *f, struct step *s)
{
	struct enc e;

	step_event_begin(s, &e);
	enc_map_end(&e, enc_map_begin(&e), 3);
	enc_kv_str(&e, "type", "match");
	if (buf_add(e.buf, buf_bytes(&f->one), buf_len(&f->one)) < 0)
		e.failed = true;
	step_event_end(s, &e);
}

/* STEP_MORE, or 0 where there are more than were asked for. */
static int take(
	struct find *f, const struct find_args *a, const struct fs_walk_item *item, struct step *s)
{
	int err;

	if (glob_ignored(&a->ignore, item->below, item->type == DT_DIR)) {
		fs_walk_skip(&f->walk);
		return STEP_MORE;
	}
	if (a->max_depth && item->depth >= a->max_depth)
		fs_walk_skip(&f->walk);
	if (!may_match(a, item))
		return STEP_MORE;
	err = encode(f, item);
	if (err) {
		if (err != -ENOENT)
			skipped_add(&f->skipped, item->path, err);
		return STEP_MORE;
	}
	if (a->type && strcmp(entry_type(f->entry.st.st_mode), a->type) != 0)
		return STEP_MORE;
	if (f->matches == a->limit) {
		f->truncated = true;
		return 0;
	}
	f->matches++;
	send(f, s);
	return STEP_MORE;
}

static int take_some(struct find *f, const struct find_args *a, struct work *w, struct step *s)
{
	struct fs_walk_item item;
	int err = STEP_MORE;

	while (err == STEP_MORE && !step_due(s)) {
		int more = fs_walk_next(&f->walk, &item);

		if (more <= 0)
			return more;
		if (item.what == FS_WALK_ENTRY)
			err = take(f, a, &item, s);
		else if (item.what == FS_WALK_FAILED && item.depth == 0)
			err = work_fail(w, item.err, a->path, "cannot search %s", a->path);
		else if (item.what == FS_WALK_FAILED)
			skipped_add(&f->skipped, item.path, item.err);
	}
	return err;
}

static int find_step(struct work *w, struct step *s)
{
	const struct find_args *a = w->args;
	struct find *f = w->state;
	int err = f->begun ? 0 : begin(f, a, w);

	if (err)
		return err;
	entry_names_begin(&f->names);
	err = take_some(f, a, w, s);
	entry_names_end(&f->names);
	return err ? err : end(f, w);
}

static void find_end(struct work *w)
{
	struct find *f = w->state;

	fs_walk_fini(&f->walk);
	skipped_fini(&f->skipped);
	buf_fini(&f->one);
}

static const struct steps find_steps = {
	.state_size = sizeof(struct find),
	.step = find_step,
	.end = find_end,
};

METHOD(fs_find) = {
	.name = "fs.find",
	.doc = "Finds what is below a directory by name and type; links are not followed.",
	.args = find_table,
	.args_size = sizeof(struct find_args),
	.steps = &find_steps,
	.streams = true,
	WHO(struct find_args),
};
