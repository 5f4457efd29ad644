/* base/buf.c - a byte queue with a hard maximum */
#include "base/buf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An idle connection should cost no buffer, a busy one no malloc for each message. */
#define KEEP_WHEN_EMPTY 4096
#define SMALLEST        512

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_fini(struct buf *b)
{
	if (b->secret && b->data)
		explicit_bzero(b->data, b->cap);
	free(b->data);
	*b = (struct buf){.max = b->max, .secret = b->secret};
}

void buf_clear(struct buf *b)
{
	buf_fini(b);
}

/* As realloc(3), which leaves a copy behind.  Bytes lie at the head. */
static char *grow(struct buf *b, size_t cap)
{
	char *data;

	if (!b->secret || !b->data)
		return realloc(b->data, cap);
	data = malloc(cap);
	if (!data)
		return NULL;
	memcpy(data, b->data, b->tail);
	explicit_bzero(b->data, b->cap);
	free(b->data);
	return data;
}

char *buf_reserve(struct buf *b, size_t len)
{
	size_t have = buf_len(b);
	size_t cap = b->cap;
	char *data;

	if (len > b->max || have > b->max - len)
		return NULL;
	if (len <= b->cap - b->tail)
		return b->data + b->tail;
	if (b->head) {
		memmove(b->data, b->data + b->head, have);
		if (b->secret)
			explicit_bzero(b->data + have, b->tail - have);
		b->head = 0;
		b->tail = have;
		if (len <= b->cap - b->tail)
			return b->data + b->tail;
	}
	cap = MAX(cap, SMALLEST);
	while (cap < have + len)
		cap *= 2;
	cap = MIN(cap, MAX(b->max, SMALLEST));
	data = grow(b, cap);
	if (!data)
		return NULL;
	b->data = data;
	b->cap = cap;
	return b->data + b->tail;
}

void buf_commit(struct buf *b, size_t len)
{
	ASSERT(len <= b->cap - b->tail);
	b->tail += len;
}

int buf_add(struct buf *b, const void *bytes, size_t len)
{
	char *p;

	if (!len)
		return 0;
	p = buf_reserve(b, len);
	if (!p)
		return -ENOBUFS;
	memcpy(p, bytes, len);
	buf_commit(b, len);
	return 0;
}

void buf_consume(struct buf *b, size_t len)
{
	ASSERT(len <= buf_len(b));
	if (b->secret && len)
		explicit_bzero(b->data + b->head, len);
	b->head += len;
	if (b->head < b->tail)
		return;
	b->head = b->tail = 0;
	if (b->cap > KEEP_WHEN_EMPTY)
		buf_clear(b);
}
