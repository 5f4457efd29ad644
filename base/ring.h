/*
 * base/ring.h - the last bytes of a stream, under absolute offsets
 *
 *	offset   0 ........ tail ######### head
 *	                    the bytes kept    where the next one goes
 *
 * It starts empty, grows as bytes come, and at its limit overwrites the oldest, but never what
 * lies at or behind `floor`, the position of the slowest reader: then it is full, and the
 * writer has to wait.
 *
 * All rings share one budget of memory: beyond it a ring stays small, and loses nothing by it
 * but replay.
 *
 * Thread: one at a time.
 */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/check.h"

struct ring_budget {
	size_t used, max;
};

/* What all rings of an agent may take: MAX, but no more than a quarter of the guest's memory. */
size_t ring_budget_max(size_t max);

struct ring {
	char *data;
	size_t cap, limit;
	uint64_t head, tail;
	struct ring_budget *budget;
};

/* The first allocation, and the least limit. */
#define RING_MIN 4096u

void ring_init(struct ring *r, size_t limit, struct ring_budget *budget);
void ring_fini(struct ring *r);

/*
 * Room for the next bytes, in at most two pieces, for readv(2); then ring_commit what was
 * read.  Grows the ring rather than overwrite, as long as limit and budget allow.  0: full up
 * to FLOOR.
 */
size_t ring_prepare(struct ring *r, uint64_t floor, struct iovec iov[2]);
void ring_commit(struct ring *r, size_t len);

/* Gives back the memory beyond what is kept; nothing may be written any more. */
void ring_trim(struct ring *r);

/* The bytes at OFFSET, which is from tail to head, as far as they lie in one piece. */
size_t ring_peek(const struct ring *r, uint64_t offset, const char **bytes);

#endif
