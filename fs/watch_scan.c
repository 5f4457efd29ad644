/* fs/watch_scan.c - compares a part of the picture with what is there, or removes it */

#include <errno.h>
#include <string.h>

#include "fs/glob.h"
#include "fs/watch_impl.h"
#include "proto/err.h"

/* Files with the same inode that are asked whether they are the one that has a new name now. */
#define MAX_CANDIDATES 4u

/* Paths */

static const char *finish_path(struct buf *b)
{
	return buf_add(b, "", 1) < 0 ? NULL : buf_bytes(b);
}

const char *watch_path(struct watch_pipe *p, uint32_t entry)
{
	buf_consume(&p->path, buf_len(&p->path));
	if (picture_path(&p->picture, entry, p->root, &p->path) < 0)
		return NULL;
	return finish_path(&p->path);
}

const char *watch_path_in(struct watch_pipe *p, uint32_t dir, const char *name, size_t len)
{
	buf_consume(&p->path, buf_len(&p->path));
	if (picture_path(&p->picture, dir, p->root, &p->path) < 0 ||
		buf_add(&p->path, "/", 1) < 0 || buf_add(&p->path, name, len) < 0)
		return NULL;
	return finish_path(&p->path);
}

/* False: its path is too long. */
static bool place_in(
	struct watch_pipe *p, uint32_t dir, const char *name, size_t len, struct watch_place *at)
{
	at->dir = watch_path(p, dir);
	at->dir_id = picture_at(&p->picture, dir)->id;
	at->name = p->name;
	if (!at->dir || len >= sizeof(p->name))
		return false;
	memcpy(p->name, name, len);
	p->name[len] = '\0';
	return true;
}

static bool place_of(struct watch_pipe *p, uint32_t entry, struct watch_place *at)
{
	const struct picture_entry *e = picture_at(&p->picture, entry);
	const char *name = picture_name(&p->picture, entry);

	*at = (struct watch_place){.dir = "", .name = ""};
	return entry == p->root || place_in(p, e->parent, name, strlen(name), at);
}

int watch_look_in(
	struct watch_pipe *p, uint32_t dir, const char *name, size_t len, struct watch_stat *st)
{
	struct watch_place at;

	return place_in(p, dir, name, len, &at) ? p->ops->look(p->ctx, &at, st) : -ENAMETOOLONG;
}

int watch_look(struct watch_pipe *p, uint32_t entry, struct watch_stat *st)
{
	struct watch_place at;

	return place_of(p, entry, &at) ? p->ops->look(p->ctx, &at, st) : -ENAMETOOLONG;
}

bool watch_ignores(const struct watch_pipe *p, const char *path, bool dir)
{
	return p->o.ignore && p->o.ignore->n && glob_ignored(p->o.ignore, path + 1, dir);
}

/* Entries */

static bool is_dir(const struct watch_pipe *p, uint32_t entry)
{
	return picture_at(&p->picture, entry)->flags & PICTURE_DIR;
}

void watch_set_stat(struct watch_pipe *p, uint32_t entry, const struct watch_stat *st)
{
	struct picture_entry *e = picture_at(&p->picture, entry);

	if (e->id != st->id)
		picture_set_id(&p->picture, entry, st->id);
	e->attributes = st->attributes;
	if (!(e->flags & PICTURE_DIR)) {
		e->mtime_ns = st->mtime_ns;
		e->size = st->size;
	}
}

void watch_unwatch(struct watch_pipe *p, uint32_t dir)
{
	uint64_t key = picture_at(&p->picture, dir)->key;

	if (!key)
		return;
	picture_set_key(&p->picture, dir, 0);
	p->ops->unwatch(p->ctx, key);
	p->watches--;
}

int watch_tell(struct watch_pipe *p, enum watch_type type, uint32_t entry)
{
	struct watch_report r = {.type = type, .path = watch_path(p, entry)};
	struct picture_entry *e = picture_at(&p->picture, entry);

	if (!r.path)
		return -ENAMETOOLONG;
	r.dir = is_dir(p, entry);
	r.replaced = e->flags & PICTURE_REPLACED;
	e->flags &= (uint16_t)~PICTURE_REPLACED;
	p->ops->report(p->ctx, &r);
	return 0;
}

static int tell_unwatched(struct watch_pipe *p, uint32_t dir, int err)
{
	struct watch_report r = {.type = WATCH_UNWATCHED, .dir = true, .err = err};

	r.path = watch_path(p, dir);
	if (!r.path)
		return -ENAMETOOLONG;
	p->ops->report(p->ctx, &r);
	return 0;
}

/* Removal */

void watch_removal_begin(struct watch_pipe *p, uint32_t top, bool quiet, bool reborn)
{
	p->removal.top = p->removal.at = top;
	p->removal.quiet = quiet;
	p->removal.reborn = reborn;
}

/* What was there is told of, and another thing has its name now. */
static void begin_again(struct watch_pipe *p, uint32_t entry)
{
	struct watch_stat st;

	if (watch_look(p, entry, &st) < 0) {
		if (p->scan.at == entry)
			p->scan.at = picture_skip(&p->picture, entry, p->scan.top);
		picture_remove(&p->picture, entry);
		return;
	}
	picture_set_dir(&p->picture, entry, st.dir);
	picture_at(&p->picture, entry)->flags |= PICTURE_NEW;
	watch_set_stat(p, entry, &st);
}

int watch_removal_step(struct watch_pipe *p)
{
	uint32_t at = p->removal.at, parent;
	bool last, was_told;
	int err = 0;

	while (is_dir(p, at) && picture_at(&p->picture, at)->child)
		at = picture_at(&p->picture, at)->child;
	last = at == p->removal.top;
	parent = picture_at(&p->picture, at)->parent;
	was_told = !(picture_at(&p->picture, at)->flags & PICTURE_NEW);
	picture_at(&p->picture, at)->flags &= (uint16_t)~PICTURE_REPLACED;
	if (was_told && !p->removal.quiet)
		err = watch_tell(p, WATCH_DELETED, at);
	if (is_dir(p, at))
		watch_unwatch(p, at);
	p->removal.at = last ? 0 : parent;
	if (err)
		return err;
	if (last && p->removal.reborn)
		begin_again(p, at);
	else
		picture_remove(&p->picture, at);
	return 0;
}

/* Where was that before? */

/*
 * Is the file or directory ENTRY, which is also elsewhere, no longer where the picture has it?  Where
 * not even its directory is there, a file may have that name all the same.
 */
static bool has_left(struct watch_pipe *p, uint32_t entry)
{
	struct watch_stat st;
	int err = watch_look(p, entry, &st);

	if (err == -ENOENT || err == -ENOTDIR)
		return true;
	if (err ? err != -ESTALE || !is_dir(p, entry) : st.id == picture_at(&p->picture, entry)->id)
		return false;
	/* Something else has its name there, of which an event may have told before. */
	watch_unsure(p, picture_at(&p->picture, entry)->parent);
	return true;
}

/* The entry that the new file ENTRY was until it was renamed; 0: it is a new one. */
static uint32_t earlier_file(struct watch_pipe *p, uint32_t entry)
{
	const struct picture_entry *e = picture_at(&p->picture, entry);
	unsigned candidates = 0;

	for (uint32_t i = picture_by_id(&p->picture, e->id, 0); i;
		i = picture_by_id(&p->picture, e->id, i)) {
		const struct picture_entry *other = picture_at(&p->picture, i);

		if (i == entry || other->flags & PICTURE_NEW)
			continue;
		/* The inode alone says little: file systems use them again at once. */
		if (other->mtime_ns != e->mtime_ns || other->size != e->size)
			continue;
		if (++candidates > MAX_CANDIDATES)
			return 0;
		if (has_left(p, i))
			return i;
	}
	return 0;
}

/* EARLIER is where ENTRY is now. */
static int tell_moved(struct watch_pipe *p, uint32_t earlier, uint32_t entry)
{
	struct watch_report r = {.type = WATCH_RENAMED, .dir = is_dir(p, entry)};
	const char *old = watch_path(p, earlier);
	struct buf kept = p->path;

	if (!old)
		return -ENAMETOOLONG;
	r.replaced = picture_at(&p->picture, entry)->flags & PICTURE_REPLACED;
	p->path = p->old_path;
	p->old_path = kept;
	r.old_path = buf_bytes(&p->old_path);
	r.path = watch_path(p, entry);
	if (!r.path)
		return -ENAMETOOLONG;
	p->ops->report(p->ctx, &r);
	return 0;
}

/* The scan */

void watch_scan_begin(struct watch_pipe *p, uint32_t top, bool quiet)
{
	p->scan.top = p->scan.at = top;
	p->scan.quiet = quiet;
	p->scan.unsure = false;
}

void watch_scan_unsure(struct watch_pipe *p)
{
	watch_scan_begin(p, p->root, false);
	p->scan.unsure = !p->doubt;
	p->unsure = p->doubt = false;
}

int watch_scan_new(struct watch_pipe *p, uint32_t dir, const char *name, size_t len,
	const struct watch_stat *st, uint16_t flags)
{
	uint32_t entry = picture_add(&p->picture, dir, name, len);

	if (!entry)
		return -ENOMEM;
	picture_at(&p->picture, entry)->flags =
		(uint16_t)(flags | PICTURE_NEW | (st->dir ? PICTURE_DIR : 0));
	watch_set_stat(p, entry, st);
	watch_scan_begin(p, entry, false);
	return 0;
}

/* What differs between the known ENTRY and what is there. */
static void compare(struct watch_pipe *p, uint32_t entry, const struct watch_stat *st)
{
	struct picture_entry *e = picture_at(&p->picture, entry);

	if (is_dir(p, entry) != st->dir) {
		e->flags |= PICTURE_REBORN;
		return;
	}
	/* One that had left when it was to be looked at: the client was told of what it is now. */
	if (!e->id && !p->resyncing) {
		watch_set_stat(p, entry, st);
		return;
	}
	if (!st->dir && (e->id != st->id || e->mtime_ns != st->mtime_ns || e->size != st->size))
		e->flags |= PICTURE_MODIFIED;
	if (e->attributes != st->attributes)
		e->flags |= PICTURE_ATTRIBUTES;
	if (st->dir) /* its id is compared when it is opened */
		e->attributes = st->attributes;
	else
		watch_set_stat(p, entry, st);
}

/* NAME was read in DIR. */
static int take_name(struct watch_pipe *p, uint32_t dir, const char *name, bool named_dir)
{
	size_t len = strlen(name);
	struct watch_stat st = {.dir = named_dir};
	uint32_t entry;
	int err;

	if (p->o.ignore && p->o.ignore->n) {
		const char *path = watch_path_in(p, dir, name, len);

		if (path && watch_ignores(p, path, named_dir))
			return 0;
	}
	err = p->ops->stat(p->ctx, name, &st);
	if (err == -ENOENT)
		return 0;
	entry = picture_find(&p->picture, dir, name, len);
	if (!entry) {
		entry = picture_add(&p->picture, dir, name, len);
		if (!entry)
			return -ENOMEM;
		picture_at(&p->picture, entry)->flags =
			(uint16_t)(PICTURE_NEW | (st.dir ? PICTURE_DIR : 0));
		if (!err)
			watch_set_stat(p, entry, &st);
	} else if (!err) {
		compare(p, entry, &st);
	}
	picture_at(&p->picture, entry)->flags |= PICTURE_SEEN;
	return 0;
}

/* WHOLE: all names were read, so that others are gone. */
static void mark_unseen(struct watch_pipe *p, uint32_t dir, bool whole)
{
	for (uint32_t i = picture_at(&p->picture, dir)->child; i;
		i = picture_at(&p->picture, i)->next) {
		struct picture_entry *e = picture_at(&p->picture, i);

		if (whole && !(e->flags & PICTURE_SEEN))
			e->flags |= PICTURE_GONE;
		e->flags &= (uint16_t)~PICTURE_SEEN;
	}
}

static int read_names(struct watch_pipe *p, uint32_t dir)
{
	const char *name;
	bool named_dir;
	int more, err = 0;

	while (!err && (more = p->ops->next(p->ctx, &name, &named_dir)) > 0)
		err = take_name(p, dir, name, named_dir);
	return err ? err : more;
}

/*
 * DIR is under KEY now.  Where another entry was, that is where this directory was before: in EARLIER,
 * unless it is known here as well.
 */
static void take_key(
	struct watch_pipe *p, uint32_t dir, uint64_t key, uint64_t id, uint32_t *earlier)
{
	struct picture_entry *e = picture_at(&p->picture, dir);
	uint32_t other = picture_by_key(&p->picture, key);

	*earlier = 0;
	picture_set_id(&p->picture, dir, id);
	if (!key || e->key == key)
		return;
	if (other) {
		if (picture_is_within(&p->picture, dir, other) || !has_left(p, other))
			return; /* one directory in two places: mounted, or moved just now */
		if (e->flags & PICTURE_NEW) {
			*earlier = other;
			return;
		}
		picture_set_key(&p->picture, other, 0);
		watch_unsure(p, other);
		p->doubt = true;
		p->watches--;
	}
	watch_unwatch(p, dir);
	picture_set_key(&p->picture, dir, key);
	p->watches++;
}

/* It cannot be read, or no more. */
static int no_entry(struct watch_pipe *p, uint32_t dir, int err)
{
	switch (err) {
	case -ENOENT:
	case -ENOTDIR:
	case -ELOOP:
	case -ESTALE:
		if (dir == p->root)
			p->gone = true;
		watch_unsure(p, dir); /* an event will tell */
		return 0;
	case ERR_LIMIT:
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
	case -ECANCELED:
		return err;
	default:
		if (dir == p->root && !p->ready)
			return err;
		watch_unwatch(p, dir);
		picture_at(&p->picture, dir)->flags |= PICTURE_BARRED;
		return tell_unwatched(p, dir, err);
	}
}

/* Watches DIR, reads it and marks the differences.  0 or an error. */
static int enter(struct watch_pipe *p, uint32_t dir, uint32_t *earlier)
{
	struct watch_place at;
	struct watch_stat st;
	uint64_t key;
	int err;

	*earlier = 0;
	picture_at(&p->picture, dir)->flags &= (uint16_t) ~(PICTURE_UNSURE | PICTURE_BARRED);
	err = place_of(p, dir, &at) ? p->ops->open(p->ctx, &at, &st, &key) : -ENAMETOOLONG;
	if (err)
		return no_entry(p, dir, err);
	take_key(p, dir, key, st.id, earlier);
	if (!*earlier) {
		err = read_names(p, dir);
		mark_unseen(p, dir, !err);
	}
	p->ops->close(p->ctx);
	return err ? no_entry(p, dir, err) : 0;
}

/* Tells of the marks of ENTRY. */
static int tell_marks(struct watch_pipe *p, uint32_t entry)
{
	struct picture_entry *e = picture_at(&p->picture, entry);
	unsigned flags = e->flags;
	int err = 0;

	e->flags &= (uint16_t) ~(PICTURE_NEW | PICTURE_MODIFIED | PICTURE_ATTRIBUTES);
	if (p->scan.quiet)
		return 0;
	if (flags & PICTURE_NEW)
		return watch_tell(p, WATCH_CREATED, entry);
	if (flags & PICTURE_ATTRIBUTES)
		err = watch_tell(p, WATCH_ATTRIBUTES, entry);
	if (!err && flags & PICTURE_MODIFIED)
		err = watch_tell(p, WATCH_MODIFIED, entry);
	return err;
}

/* FRESH was EARLIER in another place. */
static int take_over(struct watch_pipe *p, uint32_t earlier, uint32_t fresh)
{
	int err = tell_moved(p, earlier, fresh);
	struct picture_entry *e = picture_at(&p->picture, earlier);

	p->doubt |= is_dir(p, earlier);
	e->flags &= (uint16_t) ~(PICTURE_GONE | PICTURE_REBORN);
	picture_replace(&p->picture, fresh, earlier);
	if (p->scan.top == fresh)
		p->scan.top = earlier;
	/* Looked at once more: what is in it may have changed as well. */
	p->scan.at = earlier;
	return err;
}

/* No event said what became of ENTRY, which was not there. */
static bool is_back(struct watch_pipe *p, uint32_t entry)
{
	struct watch_stat st;
	int err;

	picture_at(&p->picture, entry)->flags &= (uint16_t)~PICTURE_ABSENT;
	err = watch_look(p, entry, &st);
	if (err == -ESTALE)
		watch_unsure(p, picture_at(&p->picture, entry)->parent);
	return err != -ENOENT && err != -ENOTDIR;
}

int watch_scan_step(struct watch_pipe *p)
{
	uint32_t at = p->scan.at, top = p->scan.top, earlier = 0;
	unsigned flags = picture_at(&p->picture, at)->flags;
	bool within = flags & PICTURE_DIR && (p->o.recursive || at == p->root);
	bool into = within && (!p->scan.unsure || flags & (PICTURE_UNSURE | PICTURE_NEW));
	int err = 0;

	if (flags & PICTURE_GONE) {
		p->scan.at = picture_skip(&p->picture, at, top);
		watch_removal_begin(p, at, p->scan.quiet, false);
		return 0;
	}
	if (flags & PICTURE_REBORN) {
		watch_removal_begin(p, at, p->scan.quiet, true);
		return 0;
	}
	if (flags & PICTURE_ABSENT && !is_back(p, at)) {
		p->scan.at = picture_skip(&p->picture, at, top);
		watch_removal_begin(p, at, p->scan.quiet, false);
		return 0;
	}
	if (into)
		err = enter(p, at, &earlier);
	else if (flags & PICTURE_NEW && !(flags & PICTURE_DIR) && !p->scan.quiet)
		earlier = earlier_file(p, at);
	if (err)
		return err;
	if (earlier)
		return take_over(p, earlier, at);
	err = tell_marks(p, at);
	p->scan.at = within && picture_at(&p->picture, at)->child
			     ? picture_at(&p->picture, at)->child
			     : picture_skip(&p->picture, at, top);
	return err;
}
