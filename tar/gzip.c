/*
 * tar/gzip.c - gzip, as pigz makes it: one member, whose blocks are compressed on their own
 *
 * Each block may refer to the 32 KiB before it, ends on a byte (an empty stored block, "sync flush"),
 * and is not the last; the last is an empty one.  So it is one stream to everybody who reads it
 * (RFC 1951, RFC 1952), strict readers among them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/check.h"
#include "tar/codec.h"
#include "tar/team.h"

/*
 * The larger a block is, the less is lost at its ends, and the more memory is taken by all.  At
 * 256 KiB that is less than 0.1 % of zlib's output.
 */
#define BLOCK   (256u << 10)
#define OVERLAP (32u << 10)

/* Deflate at its worst stores (RFC 1951), 5 bytes each 16 KiB in zlib; and the flush. */
#define OUT_BYTES (BLOCK + (BLOCK >> 11) + 64)

/* Input is given in such pieces: in between it can be stopped. */
#define PIECE (64u << 10)

static void *create(int level)
{
	z_stream *z = calloc(1, sizeof(*z));

	if (z && deflateInit2(z, level, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(z);
		z = NULL;
	}
	return z;
}

static size_t memory(int level)
{
	(void)level;
	return 400u << 10; /* zlib.h: windowBits 15, memLevel 9 */
}

static void destroy(void *state)
{
	deflateEnd(state);
	free(state);
}

static ssize_t compress_block(void *state, const char *in, size_t before, size_t len, char *out,
	uint32_t *check, const struct team *team)
{
	z_stream *z = state;
	const Bytef *bytes = (const Bytef *)in;

	if (deflateReset(z) != Z_OK)
		return -EIO;
	if (before && deflateSetDictionary(z, bytes - before, (uInt)before) != Z_OK)
		return -EIO;
	z->next_out = (Bytef *)out;
	z->avail_out = OUT_BYTES;
	*check = (uint32_t)crc32(0, bytes, (uInt)len);
	for (size_t done = 0; done < len;) {
		size_t n = MIN(len - done, PIECE);

		if (team_stopped(team))
			return -ECANCELED;
		z->next_in = (z_const Bytef *)bytes + done;
		z->avail_in = (uInt)n;
		done += n;
		if (deflate(z, done == len ? Z_SYNC_FLUSH : Z_NO_FLUSH) != Z_OK || z->avail_in)
			return -EIO;
	}
	return (ssize_t)(OUT_BYTES - z->avail_out);
}

size_t gzip_head(char out[CODEC_EDGE_MAX])
{
	/* Deflate; no flags, no time, no name; neither slow nor fast; on a Unix. */
	static const char head[] = {0x1f, (char)0x8b, 8, 0, 0, 0, 0, 0, 0, 3};

	memcpy(out, head, sizeof(head));
	return sizeof(head);
}

size_t gzip_tail(char out[CODEC_EDGE_MAX], uint32_t check, uint64_t len)
{
	size_t n = 0;

	/* The last block: final, of the fixed code, with nothing but its end. */
	out[n++] = 3;
	out[n++] = 0;
	for (int i = 0; i < 4; i++)
		out[n++] = (char)(check >> (8 * i));
	for (int i = 0; i < 4; i++)
		out[n++] = (char)(len >> (8 * i)); /* modulo 2^32 */
	return n;
}

uint32_t gzip_combine(uint32_t a, uint32_t b, size_t len)
{
	return (uint32_t)crc32_combine(a, b, (z_off_t)len);
}

const struct codec codec_zlib = {
	.level_min = 1,
	.level_max = 9,
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

const struct codec *codec_gzip(bool stable, int level)
{
	/* Its output depends on the processor. */
	if (stable || !&codec_isal || level > codec_isal.level_max)
		return &codec_zlib;
	return &codec_isal;
}
