/*
 * base/mem.h - two ways to allocate: fixed sizes that may not fail, and arenas
 *
 * The x-functions abort when memory is out; they are for sizes that we chose.  Any size that
 * came from a peer goes through an arena or a buf, both of which have a stated bound and can
 * fail.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

void *xcalloc(size_t n, size_t size);
void *xmalloc(size_t size);
char *xstrdup(const char *s);
char *xasprintf(const char *fmt, ...) PRINTF(1, 2);

/*
 * One block, handed out from the front, freed as a whole: all memory of a request.  The size
 * is computed from the message beforehand, so the arena never grows.
 *
 * Owner: whoever called arena_new.  Thread: one at a time.
 */
struct arena {
	size_t len, used;
	bool secret; /* overwritten before it is freed */
	char data[] __attribute__((aligned(16)));
};

/* NULL when memory is out. */
struct arena *arena_new(size_t len);
void arena_free(struct arena *a);

/* Zeroed, aligned to 16; NULL when the arena is used up. */
void *arena_alloc(struct arena *a, size_t len);

/* A NUL-terminated copy without alignment; NULL when the arena is used up. */
char *arena_copy(struct arena *a, const void *bytes, size_t len);

#endif
