/*
 * base/buf.h - a byte queue with a hard maximum
 *
 * Bytes go in at the tail and out at the head; what was consumed is reclaimed when the tail
 * needs room.  A buf that is empty holds no memory.
 *
 * Thread: one at a time.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

struct buf {
	char *data;
	size_t head, tail; /* bytes [head, tail) are queued */
	size_t cap;
	size_t max;  /* never holds more than this */
	bool secret; /* what is consumed or moved is overwritten; set after buf_init */
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);

static inline size_t buf_len(const struct buf *b)
{
	return b->tail - b->head;
}

/* The oldest byte; valid until the next call that changes B. */
static inline char *buf_bytes(const struct buf *b)
{
	return b->data + b->head;
}

/* Room for LEN bytes at the tail, to be committed with buf_commit; NULL past the maximum. */
MUST_CHECK char *buf_reserve(struct buf *b, size_t len);
void buf_commit(struct buf *b, size_t len);

/* 0 or -ENOBUFS (then nothing was added). */
MUST_CHECK int buf_add(struct buf *b, const void *bytes, size_t len);

/* Drops LEN bytes from the head; frees the memory when nothing is left and it is large. */
void buf_consume(struct buf *b, size_t len);

/* Drops everything and the memory. */
void buf_clear(struct buf *b);

#endif
