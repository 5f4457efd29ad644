/*
 * tar/blocks.h - a stream that is compressed in blocks, by all processors
 *
 *	room = blocks_room(&b, &len);		// NULL: all blocks are under way
 *	blocks_add(&b, n);			// so much of it was filled
 *	blocks_end(&b);				// no more will come
 *	n = blocks_take(&b, out, size);		// what is compressed, in order
 *	blocks_work(&b);			// neither room nor output: does some of it, or waits for it
 *
 * Full blocks go to the team (tar/team.h).  Memory: one more block than there are processors, less where all calls together
 * would take too much (limits.h).
 *
 * Owner: the call's state.  Thread: worker, one at a time.
 */
#ifndef TAR_BLOCKS_H
#define TAR_BLOCKS_H

#include "proto/err.h"
#include "tar/codec.h"
#include "tar/team.h"

struct block;

struct blocks {
	/* private */
	const struct codec *codec;
	int level;
	struct team team; /* of the full blocks */
	unsigned n_blocks, max_blocks;
	struct block *filling, *spare, *last;
	char edge[CODEC_EDGE_MAX]; /* of the stream's beginning, or its end */
	size_t edge_len, edge_pos;
	uint32_t check;
	uint64_t len; /* of what was put in, as far as it was taken out */
	size_t charged;
	bool begun, ended, tailed;
};

/*
 * B is zeroed.  CANCELED as of team.h.  LEVEL 0: the codec's own.  0, or an error with F filled: there is no memory for one
 * more.  blocks_fini() in any case.
 */
MUST_CHECK int blocks_begin(struct blocks *b, const struct codec *codec, int level,
	bool (*canceled)(const void *ctx), const void *ctx, struct failure *f);

char *blocks_room(struct blocks *b, size_t *len);
void blocks_add(struct blocks *b, size_t len);
void blocks_end(struct blocks *b);

/* Bytes; or -errno, where compressing failed. */
MUST_CHECK ssize_t blocks_take(struct blocks *b, char *out, size_t size);

/* All was taken, with the end. */
bool blocks_done(const struct blocks *b);

void blocks_work(struct blocks *b);

/* Stops what is under way; may be called on a zeroed one. */
void blocks_fini(struct blocks *b);

#endif
