/* tar/links.c - which files of a tree have a name already */
#include "tar/links.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

#define FIRST_SLOTS 64u
#define FIRST_NAMES 4096u

struct link_slot {
	dev_t dev;
	ino_t ino;
	size_t name; /* where it stands in `names`, and 1; 0: the slot is free */
};

/* Of all calls. */
static atomic_size_t total;

static struct link_slot *find(struct link_slot *slot, size_t n_slots, dev_t dev, ino_t ino)
{
	uint64_t hash =
		((uint64_t)ino ^ (uint64_t)dev << 48) * 0x9e3779b97f4a7c15u; /* 2^64 / phi */
	size_t i = (size_t)(hash >> 32) & (n_slots - 1);

	while (slot[i].name && (slot[i].dev != dev || slot[i].ino != ino))
		i = (i + 1) & (n_slots - 1);
	return &slot[i];
}

/* Memory for SIZE more bytes, or not. */
static bool charge(struct links *l, size_t size)
{
	size_t before = atomic_fetch_add(&total, size);

	if (l->charged + size > TAR_LINKS_MAX || before + size > TAR_LINKS_TOTAL) {
		atomic_fetch_sub(&total, size);
		return false;
	}
	l->charged += size;
	return true;
}

static bool grow_slots(struct links *l)
{
	size_t n_slots = l->n_slots ? 2 * l->n_slots : FIRST_SLOTS;
	struct link_slot *slot;

	if (!charge(l, (n_slots - l->n_slots) * sizeof(*slot)))
		return false;
	slot = calloc(n_slots, sizeof(*slot));
	if (!slot)
		return false;
	for (size_t i = 0; i < l->n_slots; i++) {
		if (l->slot[i].name)
			*find(slot, n_slots, l->slot[i].dev, l->slot[i].ino) = l->slot[i];
	}
	free(l->slot);
	l->slot = slot;
	l->n_slots = n_slots;
	return true;
}

static bool grow_names(struct links *l, size_t len)
{
	size_t size = l->names_size ? l->names_size : FIRST_NAMES;
	char *names;

	while (size - l->names_len < len)
		size *= 2;
	if (size == l->names_size)
		return true;
	if (!charge(l, size - l->names_size))
		return false;
	names = realloc(l->names, size);
	if (!names)
		return false;
	l->names = names;
	l->names_size = size;
	return true;
}

const char *links_find(struct links *l, const struct stat *st, const char *name)
{
	size_t len = strlen(name) + 1;
	struct link_slot *s;

	if (l->n_slots) {
		s = find(l->slot, l->n_slots, st->st_dev, st->st_ino);
		if (s->name)
			return l->names + s->name - 1;
	}
	if ((4 * (l->n + 1) > 3 * l->n_slots && !grow_slots(l)) || !grow_names(l, len)) {
		l->lost = true;
		return NULL;
	}
	s = find(l->slot, l->n_slots, st->st_dev, st->st_ino);
	*s = (struct link_slot){.dev = st->st_dev, .ino = st->st_ino, .name = l->names_len + 1};
	memcpy(l->names + l->names_len, name, len);
	l->names_len += len;
	l->n++;
	return NULL;
}

void links_fini(struct links *l)
{
	atomic_fetch_sub(&total, l->charged);
	free(l->slot);
	free(l->names);
	*l = (struct links){0};
}
