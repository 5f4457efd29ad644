/*
 * tar/pieces.h - where the data of a file with holes lies
 *
 * Owner: the caller.  Thread: worker.
 */
#ifndef TAR_PIECES_H
#define TAR_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct piece {
	uint64_t at, len;
};

struct pieces {
	struct piece *piece; /* in their order, with holes between them */
	size_t n;
	uint64_t bytes; /* of all of them */

	/* private */
	size_t size;
	uint64_t least; /* smaller holes than this are data */
};

/*
 * Of FD, whose size is SIZE.  At most TAR_PIECES_MAX: where there are more, the smallest holes are
 * taken for data.  0; -ENODATA: it has no holes, or cannot tell; -ENOMEM; -ECANCELED.
 */
MUST_CHECK int pieces_read(struct pieces *p, int fd, uint64_t size,
	bool (*canceled)(const void *ctx), const void *ctx);

/* Appends the map of GNU tar's format 1.0, whole blocks of it.  0 or -ENOBUFS. */
MUST_CHECK int pieces_map(const struct pieces *p, uint64_t size, struct buf *out);

/* May be called on a zeroed one. */
void pieces_free(struct pieces *p);

#endif
