/* fs/watch_pending.c - changes that wait for more of their kind before a client is told */
#include <stdlib.h>

#include "fs/watch_impl.h"
#include "proto/limits.h"

static bool is_dir(const struct watch_pipe *p, uint32_t entry)
{
	return picture_at(&p->picture, entry)->flags & PICTURE_DIR;
}

int watch_tell_pending(struct watch_pipe *p, uint32_t entry)
{
	struct picture_entry *e = picture_at(&p->picture, entry);
	unsigned flags = e->flags;
	struct watch_stat st;
	int err = 0;

	e->flags &= (uint16_t) ~(PICTURE_QUEUED | PICTURE_MODIFIED | PICTURE_ATTRIBUTES);
	if (!(flags & (PICTURE_MODIFIED | PICTURE_ATTRIBUTES)))
		return 0;
	if (watch_look(p, entry, &st) == 0 && st.dir == is_dir(p, entry) &&
		(e->id == st.id || !e->id)) {
		/* What was written meanwhile is taken over, so it is told, whether an event comes or not. */
		if (!st.dir && e->id && st.size != e->size)
			flags |= PICTURE_MODIFIED;
		watch_set_stat(p, entry, &st);
	}
	if (flags & PICTURE_ATTRIBUTES)
		err = watch_tell(p, WATCH_ATTRIBUTES, entry);
	if (!err && flags & PICTURE_MODIFIED)
		err = watch_tell(p, WATCH_MODIFIED, entry);
	return err;
}

int watch_tell_oldest(struct watch_pipe *p)
{
	uint32_t entry = p->pending.at[p->pending.first].entry;

	p->pending.first = (p->pending.first + 1) % p->pending.size;
	p->pending.n--;
	/* It may be another one that has its number by now: then that is told early. */
	return picture_at(&p->picture, entry)->flags & PICTURE_QUEUED ? watch_tell_pending(p, entry)
								      : 0;
}

static void grow_pending(struct watch_pipe *p)
{
	size_t size = p->pending.size ? p->pending.size * 2 : 16;
	struct watch_pending *at;

	if (size > WATCH_PENDING_MAX)
		return;
	at = malloc(size * sizeof(*at));
	if (!at)
		return;
	for (size_t i = 0; i < p->pending.n; i++)
		at[i] = p->pending.at[(p->pending.first + i) % p->pending.size];
	free(p->pending.at);
	p->pending.at = at;
	p->pending.size = size;
	p->pending.first = 0;
}

static int mark_one(struct watch_pipe *p, uint32_t entry, unsigned flag)
{
	struct picture_entry *e = picture_at(&p->picture, entry);
	int err = 0;

	e->flags |= (uint16_t)flag;
	if (e->flags & PICTURE_QUEUED)
		return 0;
	if (p->pending.n == p->pending.size)
		grow_pending(p);
	if (!p->pending.size)
		return watch_tell_pending(p, entry);
	if (p->pending.n == p->pending.size)
		err = watch_tell_oldest(p);
	e->flags |= PICTURE_QUEUED;
	p->pending.at[(p->pending.first + p->pending.n++) % p->pending.size] =
		(struct watch_pending){entry, p->ops->now_us(p->ctx) + p->o.coalesce_us};
	return err;
}

int watch_mark(struct watch_pipe *p, uint32_t entry, unsigned flag)
{
	uint64_t id = picture_at(&p->picture, entry)->id;
	int err = mark_one(p, entry, flag);

	if (is_dir(p, entry))
		return err;
	for (uint32_t i = picture_by_id(&p->picture, id, 0); !err && i;
		i = picture_by_id(&p->picture, id, i)) {
		if (i != entry)
			err = mark_one(p, i, flag);
	}
	return err;
}
