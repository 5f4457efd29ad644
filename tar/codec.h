/*
 * tar/codec.h - how blocks are compressed, each by itself, on whatever thread
 *
 * Thread: any; what create() returned, one at a time.
 */
#ifndef TAR_CODEC_H
#define TAR_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The longest beginning or end of a compressed stream. */
#define CODEC_EDGE_MAX 32

struct team;

struct codec {
	int level_min, level_max, level_default;
	size_t block;   /* bytes that are compressed at once */
	size_t overlap; /* of the block before, that this one may refer to */
	size_t out_max; /* what a block may become */

	/* NULL: out of memory.  What it takes, about. */
	void *(*create)(int level);
	size_t (*memory)(int level);
	void (*destroy)(void *state);
	/*
	 * LEN bytes at IN, where BEFORE bytes stand in front of it, into OUT, of out_max bytes.  How many;
	 * -ECANCELED where TEAM is stopped meanwhile; -EIO where the library fails.  CHECK: a sum of them,
	 * if the stream ends with one.
	 */
	ssize_t (*compress)(void *state, const char *in, size_t before, size_t len, char *out,
		uint32_t *check, const struct team *team);

	/* What stands around all blocks, if anything: bytes of it. */
	size_t (*head)(char out[CODEC_EDGE_MAX]);
	size_t (*tail)(char out[CODEC_EDGE_MAX], uint32_t check, uint64_t len);
	/* The sum of what has the sum A, and LEN bytes behind it that have the sum B. */
	uint32_t (*combine)(uint32_t a, uint32_t b, size_t len);
};

/* gzip; STABLE: the same bytes on every machine, and in every build with this zlib. */
const struct codec *codec_gzip(bool stable, int level);
extern const struct codec codec_zstd;

/*
 * The engines of codec_gzip: deflate as raw blocks that end on a byte.  zlib is always there; isa-l
 * where it was found at build time, else this is at no address.
 */
extern const struct codec codec_zlib;
extern const struct codec codec_isal __attribute__((weak));

/* For the two: what is around gzip. */
size_t gzip_head(char out[CODEC_EDGE_MAX]);
size_t gzip_tail(char out[CODEC_EDGE_MAX], uint32_t check, uint64_t len);
uint32_t gzip_combine(uint32_t a, uint32_t b, size_t len);

#endif
