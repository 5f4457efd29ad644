/*
 * tar/decode.h - what an archive is compressed with, undone as it comes: nothing, gzip, zstd
 *
 *	decode_begin(&d, DECODE_AUTO);
 *	do {
 *		err = decode(&d, bytes + used, len - used, end, &used, f);
 *		... d.out, d.out_len ...
 *	} while (!err && d.out_len);		// all of the input is used up then
 *	err = decode_end(&d, f);		// it was whole?
 *	decode_fini(&d);
 *
 * Several compressed streams behind one another are one, as gzip(1) and zstd(1) have it.
 *
 * Owner: the caller.  Thread: worker.
 */
#ifndef TAR_DECODE_H
#define TAR_DECODE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"
#include "proto/err.h"

enum decode_format { DECODE_AUTO, DECODE_PLAIN, DECODE_GZIP, DECODE_ZSTD };

/* Enough to know the format by. */
#define DECODE_HEAD 6

struct decode {
	/* out: the next bytes; they live until the next call, and where they are the input's, as that */
	const char *out;
	size_t out_len;

	/* private */
	enum decode_format format;
	char head[DECODE_HEAD];
	size_t n_head, head_used;
	bool ready; /* the format is known */
	bool any;   /* of a stream there was a byte */
	bool whole; /* and it ended */
	char *buf;
	void *zlib, *zstd;
};

void decode_begin(struct decode *d, enum decode_format format);
void decode_fini(struct decode *d);

/* Adds to USED what was taken of LEN bytes.  END: nothing follows them.  0 or an error. */
MUST_CHECK int decode(
	struct decode *d, const char *bytes, size_t len, bool end, size_t *used, struct failure *f);

/* All of the input was used up, and there was no more to come.  0, or it was cut off. */
MUST_CHECK int decode_end(const struct decode *d, struct failure *f);

#endif
