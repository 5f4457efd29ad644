/*
 * fs/watch_picture.h - a tree as it is known: names, inodes, times, sizes; some 80 bytes an entry
 *
 *	uint32_t dir = picture_add(&p, 0, "srv", 3);		// 0 has no parent, and is no entry
 *	uint32_t file = picture_add(&p, dir, "a.txt", 5);
 *
 *	picture_at(&p, file)->size = 7;
 *
 * Entries are numbers, which stay what they are when a directory above is renamed: that costs the
 * same whatever is in it.  Directories are also found by the key under which the kernel reports what
 * happens in them, files by their inode: hard links share one.
 *
 * Memory comes in chunks, and is counted together with that of all other pictures.
 *
 * Owner: the caller.  Thread: one at a time.
 */
#ifndef FS_WATCH_PICTURE_H
#define FS_WATCH_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* The longest name that is kept: FUSE allows as much. */
#define PICTURE_NAME_MAX 1024u

enum picture_flags {
	PICTURE_DIR = 1u << 0,
	/* What is to be told of it (watch_pipe.h). */
	PICTURE_NEW = 1u << 1,
	PICTURE_GONE = 1u << 2,
	PICTURE_REBORN = 1u << 3, /* it was a file and is a directory, or the other way round */
	PICTURE_REPLACED = 1u << 4,
	PICTURE_MODIFIED = 1u << 5,
	PICTURE_ATTRIBUTES = 1u << 6,
	PICTURE_QUEUED = 1u << 7,  /* for the last two */
	PICTURE_SEEN = 1u << 8,    /* while its directory is read */
	PICTURE_UNSURE = 1u << 9,  /* a directory that is to be read again */
	PICTURE_BARRED = 1u << 10, /* one that cannot be read */
	PICTURE_ABSENT = 1u << 11, /* was not there when it was looked at; an event may say why */
};

struct picture_entry {
	uint64_t id; /* of the inode and its file system; 0: not known */
	union {
		struct {
			int64_t mtime_ns;
			uint64_t size;
		};
		struct {              /* of a directory */
			uint64_t key; /* 0: it is not watched */
			uint32_t child;
		};
	};
	uint32_t attributes; /* a digest: owner, mode */
	uint32_t parent;
	uint16_t flags;

	/* private */
	uint16_t name_len;
	uint32_t name;
	uint32_t next, prev; /* with the same parent */
	uint32_t same_name;  /* in the same bucket */
	uint32_t same_identity;
};

BUILD_ASSERT(sizeof(struct picture_entry) <= 56);

struct picture_table {
	uint32_t *bucket;
	size_t size;
};

struct picture {
	uint32_t count;

	/* private */
	uint64_t seed;
	void **chunk;
	size_t n_chunks;
	uint32_t used, unused; /* never handed out from there on; a list of those given back */
	void **names;
	size_t n_names;
	uint32_t names_used; /* in units of 8 bytes, as all of names is counted */
	uint32_t unused_name[PICTURE_NAME_MAX / 8 + 2];
	struct picture_table by_name, by_identity;
	size_t bytes;
};

void picture_init(struct picture *p);
void picture_fini(struct picture *p);

/* Bytes that it takes. */
size_t picture_bytes(const struct picture *p);

struct picture_entry *picture_at(const struct picture *p, uint32_t entry);

/* Ended by a NUL; borrowed while the entry keeps it. */
const char *picture_name(const struct picture *p, uint32_t entry);

/*
 * A new entry, zeroed but for that; NAME must not be there yet.  0: there is no memory, or all
 * pictures together have what they may have, or the name is too long.
 */
MUST_CHECK uint32_t picture_add(struct picture *p, uint32_t parent, const char *name, size_t len);

/* Nothing may be below it. */
void picture_remove(struct picture *p, uint32_t entry);

/* With all that is below; 0 or -ENOMEM.  The same name must not be there yet. */
MUST_CHECK int picture_move(
	struct picture *p, uint32_t entry, uint32_t parent, const char *name, size_t len);

/* ENTRY takes name and place of FRESH, which is gone then; nothing may be below that. */
void picture_replace(struct picture *p, uint32_t fresh, uint32_t entry);

/* A file becomes a directory, or the other way round; nothing may be below it.  All else is zeroed. */
void picture_set_dir(struct picture *p, uint32_t entry, bool dir);

/* 0: there is none. */
uint32_t picture_find(const struct picture *p, uint32_t parent, const char *name, size_t len);

/* Sets the key of a directory, which one at most has; 0: none. */
void picture_set_key(struct picture *p, uint32_t dir, uint64_t key);
uint32_t picture_by_key(const struct picture *p, uint64_t key);

/* Sets the id; a file is found by it. */
void picture_set_id(struct picture *p, uint32_t entry, uint64_t id);

/* The next file with that inode behind AFTER; 0: the first one; none. */
uint32_t picture_by_id(const struct picture *p, uint64_t id, uint32_t after);

/* The one after ENTRY in pre-order below TOP, without what is in ENTRY itself; 0: there is none. */
uint32_t picture_skip(const struct picture *p, uint32_t entry, uint32_t top);

/* Is ENTRY the same as ABOVE or below it? */
bool picture_is_within(const struct picture *p, uint32_t entry, uint32_t above);

/* Appends "/name/name" from below TOP to ENTRY; nothing for TOP itself.  0 or -ENOBUFS. */
MUST_CHECK int picture_path(const struct picture *p, uint32_t entry, uint32_t top, struct buf *out);

#endif
