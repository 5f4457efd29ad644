/*
 * tar/isal.c - deflate by isa-l, several times as fast as zlib at the ratio of its level 1
 *
 * Compiled where tar/fetch has built the library; otherwise zlib does it all.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <crc.h>
#include <igzip_lib.h>

#include "base/check.h"
#include "tar/codec.h"

/* As in gzip.c. */
#define BLOCK     (256u << 10)
#define OVERLAP   (32u << 10)
#define OUT_BYTES (BLOCK + (BLOCK >> 8) + 512)

/*
 * Level 1 is what isa-l calls 2: its own 1 is hardly faster and compresses less than zlib's.  Level 2
 * is its 3; from there on zlib has the better ratios.
 */
#define OWN_LEVEL(level) ((level) + 1)

struct state {
	struct isal_zstream z;
	int level;
	uint8_t buf[ISAL_DEF_LVL3_DEFAULT > ISAL_DEF_LVL2_DEFAULT ? ISAL_DEF_LVL3_DEFAULT
								  : ISAL_DEF_LVL2_DEFAULT];
};

static void *create(int level)
{
	struct state *s = malloc(sizeof(*s));

	if (s)
		s->level = OWN_LEVEL(level);
	return s;
}

static size_t memory(int level)
{
	(void)level;
	return sizeof(struct state);
}

static void destroy(void *state)
{
	free(state);
}

static ssize_t compress_block(void *state, const char *in, size_t before, size_t len, char *out,
	uint32_t *check, const struct team *team)
{
	struct state *s = state;
	struct isal_zstream *z = &s->z;
	/* It takes them without const, and only reads. */
	uint8_t *bytes = (void *)in;

	(void)team; /* a millisecond */
	*check = crc32_gzip_refl(0, bytes, len);
	isal_deflate_init(z);
	z->level = (uint32_t)s->level;
	z->level_buf = s->buf;
	z->level_buf_size = sizeof(s->buf);
	z->flush = SYNC_FLUSH;
	if (before && isal_deflate_set_dict(z, bytes - before, (uint32_t)before) != COMP_OK)
		return -EIO;
	z->next_in = bytes;
	z->avail_in = (uint32_t)len;
	z->next_out = (uint8_t *)out;
	z->avail_out = OUT_BYTES;
	if (isal_deflate(z) != COMP_OK || z->avail_in || !z->avail_out)
		return -EIO;
	return (ssize_t)(OUT_BYTES - z->avail_out);
}

const struct codec codec_isal = {
	.level_min = 1,
	.level_max = 2,
	.level_default = 1,
	.block = BLOCK,
	.overlap = OVERLAP,
	.out_max = OUT_BYTES,
	.create = create,
	.memory = memory,
	.destroy = destroy,
	.compress = compress_block,
	.head = gzip_head,
	.tail = gzip_tail,
	.combine = gzip_combine,
};
