/* tar/zstd.c - zstd: each block a frame of its own, which RFC 8878 allows and every reader joins */
#include <errno.h>
#include <zstd.h>

#include "base/check.h"
#include "tar/codec.h"
#include "tar/team.h"

/* Twice the window of level 1: what is lost where frames begin is some per cent of the output. */
#define BLOCK     (1u << 20)
#define OUT_BYTES ZSTD_COMPRESSBOUND(BLOCK)

/* Input is given in such pieces: in between it can be stopped. */
#define PIECE (64u << 10)

static void *create(int level)
{
	ZSTD_CCtx *z = ZSTD_createCCtx();

	if (z && (ZSTD_isError(ZSTD_CCtx_setParameter(z, ZSTD_c_compressionLevel, level)) ||
			 ZSTD_isError(ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1)))) {
		ZSTD_freeCCtx(z);
		z = NULL;
	}
	return z;
}

/* Its copy of the input, and tables: of a block of 1 MiB. */
static size_t memory(int level)
{
	return (level <= 2 ? 2u : level <= 7 ? 8u : 20u) << 20;
}

static void destroy(void *state)
{
	ZSTD_freeCCtx(state);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): OUT is written to through `to` */
static ssize_t compress_frame(void *state, const char *in, size_t before, size_t len, char *out,
	uint32_t *check, const struct team *team)
{
	ZSTD_CCtx *z = state;
	ZSTD_inBuffer from = {.src = in};
	ZSTD_outBuffer to = {.dst = out, .size = OUT_BYTES};
	size_t left;

	(void)before;
	*check = 0;
	ZSTD_CCtx_reset(z, ZSTD_reset_session_only);
	if (ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(z, len)))
		return -EIO;
	do {
		if (team_stopped(team))
			return -ECANCELED;
		from.size = MIN(from.size + PIECE, len);
		left = ZSTD_compressStream2(
			z, &to, &from, from.size == len ? ZSTD_e_end : ZSTD_e_continue);
		if (ZSTD_isError(left))
			return -EIO;
	} while (from.pos < len || (from.size == len && left));
	return (ssize_t)to.pos;
}

const struct codec codec_zstd = {
	.level_min = 1,
	.level_max = 19,
	.level_default = 1,
	.block = BLOCK,
	.out_max = OUT_BYTES,
	.create = create,
	.memory = memory,
	.destroy = destroy,
	.compress = compress_frame,
};
