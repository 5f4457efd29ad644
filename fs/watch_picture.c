/* fs/watch_picture.c - a tree as it is known, kept compactly */
#include "fs/watch_picture.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/ring.h"
#include "proto/limits.h"

#define ENTRIES_IN_CHUNK 256u

/* Names: a chunk of them, and the unit in which they are counted. */
#define NAME_UNIT      8u
#define NAME_CHUNK     (16u << 10)
#define UNITS_IN_CHUNK (NAME_CHUNK / NAME_UNIT)

#define TABLE_MIN 256u

/* Of all pictures. */
static atomic_size_t total;

/* Memory */

static bool charge(struct picture *p, size_t bytes)
{
	size_t before = atomic_fetch_add(&total, bytes);

	if (before + bytes > ring_budget_max(WATCH_TOTAL_MAX)) {
		atomic_fetch_sub(&total, bytes);
		return false;
	}
	p->bytes += bytes;
	return true;
}

static void discharge(struct picture *p, size_t bytes)
{
	atomic_fetch_sub(&total, bytes);
	p->bytes -= bytes;
}

/* Appends a chunk of SIZE bytes to the array *CHUNKS of *N pointers. */
static bool add_chunk(struct picture *p, void ***chunks, size_t *n, size_t size)
{
	void **grown;
	void *chunk;

	if (!charge(p, size + sizeof(void *)))
		return false;
	grown = realloc(*chunks, (*n + 1) * sizeof(void *));
	if (grown)
		*chunks = grown;
	chunk = grown ? malloc(size) : NULL;
	if (!chunk) {
		discharge(p, size + sizeof(void *));
		return false;
	}
	grown[(*n)++] = chunk;
	return true;
}

void picture_init(struct picture *p)
{
	memset(p, 0, sizeof(*p));
	/* Whoever makes files must not choose them so that all fall into one bucket. */
	p->seed = clock_mono_us() * UINT64_C(0x9e3779b97f4a7c15) ^ (uintptr_t)p;
	p->used = 1;
	p->names_used = 1;
}

void picture_fini(struct picture *p)
{
	for (size_t i = 0; i < p->n_chunks; i++)
		free(p->chunk[i]);
	for (size_t i = 0; i < p->n_names; i++)
		free(p->names[i]);
	free(p->chunk);
	free(p->names);
	free(p->by_name.bucket);
	free(p->by_identity.bucket);
	atomic_fetch_sub(&total, p->bytes);
	memset(p, 0, sizeof(*p));
}

size_t picture_bytes(const struct picture *p)
{
	return p->bytes;
}

struct picture_entry *picture_at(const struct picture *p, uint32_t entry)
{
	struct picture_entry *chunk = p->chunk[entry / ENTRIES_IN_CHUNK];

	return &chunk[entry % ENTRIES_IN_CHUNK];
}

/* Names */

static char *name_at(const struct picture *p, uint32_t name)
{
	char *chunk = p->names[name / UNITS_IN_CHUNK];

	return chunk + (size_t)(name % UNITS_IN_CHUNK) * NAME_UNIT;
}

const char *picture_name(const struct picture *p, uint32_t entry)
{
	return name_at(p, picture_at(p, entry)->name);
}

static uint32_t name_units(size_t len)
{
	return (uint32_t)(len / NAME_UNIT + 1); /* with the NUL */
}

/* 0: there is no memory. */
static uint32_t name_new(struct picture *p, const char *name, size_t len)
{
	uint32_t units = name_units(len), at;

	if (len > PICTURE_NAME_MAX)
		return 0;
	at = p->unused_name[units];
	if (at) {
		memcpy(&p->unused_name[units], name_at(p, at), sizeof(at));
	} else {
		if (p->names_used % UNITS_IN_CHUNK + units > UNITS_IN_CHUNK)
			p->names_used += UNITS_IN_CHUNK - p->names_used % UNITS_IN_CHUNK;
		if (p->names_used / UNITS_IN_CHUNK >= p->n_names &&
			!add_chunk(p, &p->names, &p->n_names, NAME_CHUNK))
			return 0;
		at = p->names_used;
		p->names_used += units;
	}
	memcpy(name_at(p, at), name, len);
	name_at(p, at)[len] = '\0';
	return at;
}

static void name_free(struct picture *p, uint32_t name, size_t len)
{
	uint32_t units = name_units(len);

	memcpy(name_at(p, name), &p->unused_name[units], sizeof(name));
	p->unused_name[units] = name;
}

/* The tables */

static uint64_t mix(uint64_t h)
{
	h ^= h >> 32;
	h *= UINT64_C(0xd6e8feb86659fd93);
	h ^= h >> 32;
	h *= UINT64_C(0xd6e8feb86659fd93);
	return h ^ h >> 32;
}

static uint64_t name_hash(const struct picture *p, uint32_t parent, const char *name, size_t len)
{
	uint64_t h = p->seed ^ parent, word;

	for (; len >= sizeof(word); len -= sizeof(word), name += sizeof(word)) {
		memcpy(&word, name, sizeof(word));
		h = mix(h ^ word);
	}
	word = len;
	memcpy((char *)&word + 1, name, len);
	return mix(h ^ word);
}

static uint64_t hash_of_name(const struct picture *p, uint32_t entry)
{
	const struct picture_entry *e = picture_at(p, entry);

	return name_hash(p, e->parent, name_at(p, e->name), e->name_len);
}

/* By what it is found, besides its name; 0: not at all. */
static uint64_t identity(const struct picture_entry *e)
{
	return e->flags & PICTURE_DIR ? e->key : e->id;
}

static uint64_t hash_of_identity(const struct picture *p, uint32_t entry)
{
	return mix(p->seed ^ identity(picture_at(p, entry)));
}

static uint32_t *bucket(const struct picture_table *t, uint64_t hash)
{
	return &t->bucket[hash & (t->size - 1)];
}

static void link_name(struct picture *p, uint32_t entry)
{
	uint32_t *b = bucket(&p->by_name, hash_of_name(p, entry));

	picture_at(p, entry)->same_name = *b;
	*b = entry;
}

static void unlink_name(struct picture *p, uint32_t entry)
{
	uint32_t *b = bucket(&p->by_name, hash_of_name(p, entry));

	while (*b != entry)
		b = &picture_at(p, *b)->same_name;
	*b = picture_at(p, entry)->same_name;
}

static void link_identity(struct picture *p, uint32_t entry)
{
	uint32_t *b;

	if (!identity(picture_at(p, entry)))
		return;
	b = bucket(&p->by_identity, hash_of_identity(p, entry));
	picture_at(p, entry)->same_identity = *b;
	*b = entry;
}

static void unlink_identity(struct picture *p, uint32_t entry)
{
	uint32_t *b;

	if (!identity(picture_at(p, entry)))
		return;
	b = bucket(&p->by_identity, hash_of_identity(p, entry));
	while (*b != entry)
		b = &picture_at(p, *b)->same_identity;
	*b = picture_at(p, entry)->same_identity;
}

/* Doubles T, whose entries LINK puts in anew. */
static bool grow(struct picture *p, struct picture_table *t,
	void (*link)(struct picture *p, uint32_t entry), size_t next)
{
	struct picture_table old = *t;
	size_t size = old.size ? old.size * 2 : TABLE_MIN;
	uint32_t *buckets;

	if (!charge(p, size * sizeof(*buckets)))
		return false;
	buckets = calloc(size, sizeof(*buckets));
	if (!buckets) {
		discharge(p, size * sizeof(*buckets));
		return false;
	}
	*t = (struct picture_table){buckets, size};
	for (size_t i = 0; i < old.size; i++) {
		uint32_t at = old.bucket[i];

		while (at) {
			uint32_t behind;

			memcpy(&behind, (char *)picture_at(p, at) + next, sizeof(behind));
			link(p, at);
			at = behind;
		}
	}
	free(old.bucket);
	discharge(p, old.size * sizeof(*old.bucket));
	return true;
}

static bool make_room(struct picture *p)
{
	if (p->count >= p->by_name.size &&
		!grow(p, &p->by_name, link_name, offsetof(struct picture_entry, same_name)))
		return false;
	return p->count < p->by_identity.size ||
	       grow(p, &p->by_identity, link_identity,
		       offsetof(struct picture_entry, same_identity));
}

/* Entries */

static void link_parent(struct picture *p, uint32_t entry, uint32_t parent)
{
	struct picture_entry *e = picture_at(p, entry);

	e->parent = parent;
	e->prev = e->next = 0;
	if (!parent)
		return;
	e->next = picture_at(p, parent)->child;
	if (e->next)
		picture_at(p, e->next)->prev = entry;
	picture_at(p, parent)->child = entry;
}

static void unlink_parent(struct picture *p, uint32_t entry)
{
	struct picture_entry *e = picture_at(p, entry);

	if (e->next)
		picture_at(p, e->next)->prev = e->prev;
	if (e->prev)
		picture_at(p, e->prev)->next = e->next;
	else if (e->parent)
		picture_at(p, e->parent)->child = e->next;
}

/* 0: there is no memory. */
static uint32_t entry_new(struct picture *p)
{
	uint32_t entry = p->unused;

	if (entry) {
		p->unused = picture_at(p, entry)->next;
		return entry;
	}
	if (p->used / ENTRIES_IN_CHUNK >= p->n_chunks &&
		!add_chunk(p, &p->chunk, &p->n_chunks,
			ENTRIES_IN_CHUNK * sizeof(struct picture_entry)))
		return 0;
	return p->used++;
}

static void entry_free(struct picture *p, uint32_t entry)
{
	memset(picture_at(p, entry), 0, sizeof(struct picture_entry));
	picture_at(p, entry)->next = p->unused;
	p->unused = entry;
}

uint32_t picture_add(struct picture *p, uint32_t parent, const char *name, size_t len)
{
	uint32_t entry, text;

	if (!make_room(p))
		return 0;
	entry = entry_new(p);
	if (!entry)
		return 0;
	memset(picture_at(p, entry), 0, sizeof(struct picture_entry));
	text = name_new(p, name, len);
	if (!text) {
		entry_free(p, entry);
		return 0;
	}
	picture_at(p, entry)->name = text;
	picture_at(p, entry)->name_len = (uint16_t)len;
	link_parent(p, entry, parent);
	link_name(p, entry);
	p->count++;
	return entry;
}

void picture_remove(struct picture *p, uint32_t entry)
{
	struct picture_entry *e = picture_at(p, entry);

	ASSERT(!(e->flags & PICTURE_DIR) || !e->child);
	unlink_identity(p, entry);
	unlink_name(p, entry);
	unlink_parent(p, entry);
	name_free(p, e->name, e->name_len);
	entry_free(p, entry);
	p->count--;
}

int picture_move(struct picture *p, uint32_t entry, uint32_t parent, const char *name, size_t len)
{
	struct picture_entry *e = picture_at(p, entry);
	uint32_t text = name_new(p, name, len);

	if (!text)
		return -ENOMEM;
	unlink_name(p, entry);
	unlink_parent(p, entry);
	name_free(p, e->name, e->name_len);
	e->name = text;
	e->name_len = (uint16_t)len;
	link_parent(p, entry, parent);
	link_name(p, entry);
	return 0;
}

void picture_replace(struct picture *p, uint32_t fresh, uint32_t entry)
{
	struct picture_entry *o = picture_at(p, fresh), *e = picture_at(p, entry);
	uint32_t name = e->name;
	uint16_t name_len = e->name_len;

	ASSERT(fresh != entry && o->parent);
	unlink_name(p, entry);
	unlink_parent(p, entry);
	unlink_name(p, fresh);
	e->name = o->name;
	e->name_len = o->name_len;
	e->parent = o->parent;
	e->prev = o->prev;
	e->next = o->next;
	if (e->next)
		picture_at(p, e->next)->prev = entry;
	if (e->prev)
		picture_at(p, e->prev)->next = entry;
	else
		picture_at(p, e->parent)->child = entry;
	link_name(p, entry);
	unlink_identity(p, fresh);
	name_free(p, name, name_len);
	entry_free(p, fresh);
	p->count--;
}

void picture_set_dir(struct picture *p, uint32_t entry, bool dir)
{
	struct picture_entry *e = picture_at(p, entry);

	ASSERT(!(e->flags & PICTURE_DIR) || !e->child);
	unlink_identity(p, entry);
	e->id = 0;
	e->mtime_ns = 0; /* and so the key, */
	e->size = 0;     /* and so the child */
	e->attributes = 0;
	e->flags = dir ? PICTURE_DIR : 0;
}

uint32_t picture_find(const struct picture *p, uint32_t parent, const char *name, size_t len)
{
	uint32_t at;

	if (!p->count)
		return 0;
	at = *bucket(&p->by_name, name_hash(p, parent, name, len));
	while (at) {
		const struct picture_entry *e = picture_at(p, at);

		if (e->parent == parent && e->name_len == len &&
			memcmp(name_at(p, e->name), name, len) == 0)
			break;
		at = e->same_name;
	}
	return at;
}

void picture_set_key(struct picture *p, uint32_t dir, uint64_t key)
{
	ASSERT(picture_at(p, dir)->flags & PICTURE_DIR);
	unlink_identity(p, dir);
	picture_at(p, dir)->key = key;
	link_identity(p, dir);
}

void picture_set_id(struct picture *p, uint32_t entry, uint64_t id)
{
	if (picture_at(p, entry)->flags & PICTURE_DIR) {
		picture_at(p, entry)->id = id;
		return;
	}
	unlink_identity(p, entry);
	picture_at(p, entry)->id = id;
	link_identity(p, entry);
}

static uint32_t find_identity(const struct picture *p, uint32_t at, uint64_t value, bool dir)
{
	while (at) {
		const struct picture_entry *e = picture_at(p, at);

		if (dir == ((e->flags & PICTURE_DIR) != 0) && identity(e) == value)
			break;
		at = e->same_identity;
	}
	return at;
}

uint32_t picture_by_key(const struct picture *p, uint64_t key)
{
	if (!p->count || !key)
		return 0;
	return find_identity(p, *bucket(&p->by_identity, mix(p->seed ^ key)), key, true);
}

uint32_t picture_by_id(const struct picture *p, uint64_t id, uint32_t after)
{
	if (!p->count || !id)
		return 0;
	return find_identity(p,
		after ? picture_at(p, after)->same_identity
		      : *bucket(&p->by_identity, mix(p->seed ^ id)),
		id, false);
}

/* The tree */

uint32_t picture_skip(const struct picture *p, uint32_t entry, uint32_t top)
{
	while (entry != top) {
		const struct picture_entry *e = picture_at(p, entry);

		if (e->next)
			return e->next;
		entry = e->parent;
	}
	return 0;
}

bool picture_is_within(const struct picture *p, uint32_t entry, uint32_t above)
{
	while (entry && entry != above)
		entry = picture_at(p, entry)->parent;
	return entry != 0;
}

int picture_path(const struct picture *p, uint32_t entry, uint32_t top, struct buf *out)
{
	size_t len = 0, at;
	char *bytes;

	for (uint32_t i = entry; i != top; i = picture_at(p, i)->parent)
		len += picture_at(p, i)->name_len + 1u;
	if (!len)
		return 0;
	bytes = buf_reserve(out, len);
	if (!bytes)
		return -ENOBUFS;
	at = len;
	for (uint32_t i = entry; i != top; i = picture_at(p, i)->parent) {
		const struct picture_entry *e = picture_at(p, i);

		at -= e->name_len;
		memcpy(bytes + at, name_at(p, e->name), e->name_len);
		bytes[--at] = '/';
	}
	buf_commit(out, len);
	return 0;
}
