/*
 * fs/skipped.h - the parts of a tree that could not be read, told with the result
 *
 *	skipped: [{path, error: {code, message, errno?}}, ...], skipped_total: 7
 *
 * The first ones, as many as there is room for; the number is of all.
 *
 * Owner: the call's state.  Thread: worker, one at a time.
 */
#ifndef FS_SKIPPED_H
#define FS_SKIPPED_H

#include <stdint.h>

#include "guestd/work.h"
#include "proto/enc.h"

struct skipped {
	/* private */
	struct buf buf;
	struct enc enc;
	uint64_t told, total;
};

/* S is zeroed. */
void skipped_begin(struct skipped *s, const struct work *w);

/* ERR as of err.h. */
void skipped_add(struct skipped *s, const char *path, int err);

/* The same with a sentence of its own. */
void skipped_tell(struct skipped *s, const char *path, int err, const char *why);

/* Bytes of the result that are kept free for it. */
size_t skipped_reserve(const struct skipped *s);

/* Encodes its pairs, if there is anything to tell: how many (0 or 2). */
size_t skipped_encode(const struct skipped *s, struct enc *e);

void skipped_fini(struct skipped *s);

#endif
