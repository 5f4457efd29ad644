/* base/ring.c - the last bytes of a stream, under absolute offsets */
#include "base/ring.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

size_t ring_budget_max(size_t max)
{
	struct sysinfo guest;

	if (sysinfo(&guest) < 0)
		return max;
	return (size_t)MIN(max, (uint64_t)guest.totalram * guest.mem_unit / 4);
}

void ring_init(struct ring *r, size_t limit, struct ring_budget *budget)
{
	*r = (struct ring){.limit = MAX(limit, RING_MIN), .budget = budget};
}

void ring_fini(struct ring *r)
{
	r->budget->used -= r->cap;
	free(r->data);
	*r = (struct ring){.limit = r->limit, .budget = r->budget};
}

void ring_commit(struct ring *r, size_t len)
{
	ASSERT(len <= r->cap);
	r->head += len;
	if (r->head - r->tail > r->cap)
		r->tail = r->head - r->cap;
}

size_t ring_peek(const struct ring *r, uint64_t offset, const char **bytes)
{
	size_t at;

	ASSERT(offset >= r->tail && offset <= r->head);
	if (offset == r->head)
		return 0;
	ASSERT(r->cap); /* what is kept lies somewhere */
	at = (size_t)(offset % r->cap);
	*bytes = r->data + at;
	return MIN((size_t)(r->head - offset), r->cap - at);
}

/* Moves what is kept into a block of CAP bytes.  False when memory is out. */
static bool resize(struct ring *r, size_t cap)
{
	char *data = malloc(cap);
	uint64_t at = r->tail;

	if (!data)
		return false;
	while (at < r->head) {
		const char *from = NULL;
		size_t n = ring_peek(r, at, &from);

		ASSERT(from); /* AT is before the head: there is a byte at least */
		n = MIN(n, cap - (size_t)(at % cap));
		memcpy(data + at % cap, from, n);
		at += n;
	}
	r->budget->used += cap;
	r->budget->used -= r->cap;
	free(r->data);
	r->data = data;
	r->cap = cap;
	return true;
}

/* Four times the size, or what the limit leaves.  False when nothing was to be had. */
static bool grow(struct ring *r)
{
	size_t left = r->budget->max - MIN(r->budget->used, r->budget->max);
	size_t cap = MIN(MAX(r->cap * 4, RING_MIN), r->limit);

	/* Everybody gets the smallest ring: without it a stream could not move at all. */
	return (r->cap == 0 || cap - r->cap <= left) && resize(r, cap);
}

void ring_trim(struct ring *r)
{
	size_t kept = (size_t)(r->head - r->tail);

	if (kept && kept < r->cap) {
		resize(r, kept); /* without memory to save memory it stays as it is */
	} else if (!kept) {
		r->budget->used -= r->cap;
		free(r->data);
		r->data = NULL;
		r->cap = 0;
	}
}

size_t ring_prepare(struct ring *r, uint64_t floor, struct iovec iov[2])
{
	/* A floor before the tail asks for bytes that are gone already. */
	size_t needed = (size_t)(r->head - MAX(MIN(floor, r->head), r->tail));
	size_t unused = r->cap - (size_t)(r->head - r->tail);
	size_t room, at;

	if (r->cap < r->limit && unused <= r->cap / 2 && grow(r))
		room = r->cap - (size_t)(r->head - r->tail);
	else
		room = r->cap < r->limit && unused ? unused : r->cap - needed;
	at = r->cap ? (size_t)(r->head % r->cap) : 0;
	iov[0] = (struct iovec){r->data + at, MIN(room, r->cap - at)};
	iov[1] = (struct iovec){r->data, room - iov[0].iov_len};
	return room;
}
