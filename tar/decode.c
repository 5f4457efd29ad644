/* tar/decode.c - gzip and zstd, undone as they come */
#include "tar/decode.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/mem.h"
#include "proto/limits.h"

/* Of deflate(3): the largest window, and a gzip header around it. */
#define WINDOW_GZIP (15 + 16)

#define OUT_SIZE (128u << 10)

void decode_begin(struct decode *d, enum decode_format format)
{
	*d = (struct decode){.format = format};
}

void decode_fini(struct decode *d)
{
	if (d->zlib)
		inflateEnd(d->zlib);
	free(d->zlib);
	ZSTD_freeDCtx(d->zstd);
	free(d->buf);
	*d = (struct decode){0};
}

static int broken(struct failure *f, const char *what)
{
	return failure_set(
		f, ERR_BAD_PARAMS, "read", NULL, "the compressed archive is broken: %s", what);
}

static int no_memory(struct failure *f)
{
	return failure_set(f, -ENOMEM, "read", NULL, "out of memory");
}

/* -- formats ----------------------------------------------------------------------------------- */

static bool begins(const struct decode *d, const char *magic, size_t len)
{
	return d->n_head >= len && memcmp(d->head, magic, len) == 0;
}

static int detect(struct decode *d, struct failure *f)
{
	const char *other = NULL;

	/* The third byte of gzip is its one method; of zstd there are frames to be skipped, too. */
	if (begins(d, "\x1f\x8b\x08", 3))
		d->format = DECODE_GZIP;
	else if (begins(d, "\x28\xb5\x2f\xfd", 4) ||
		 (d->n_head >= 4 && (d->head[0] & 0xf0) == 0x50 &&
			 memcmp(d->head + 1, "\x2a\x4d\x18", 3) == 0))
		d->format = DECODE_ZSTD;
	else if (begins(d,
			 "\xfd"
			 "7zXZ",
			 6))
		other = "xz";
	else if (begins(d, "BZh", 3))
		other = "bzip2";
	else if (begins(d, "PK\3\4", 4))
		other = "zip";
	else
		d->format = DECODE_PLAIN;
	return other ? failure_set(f, ERR_UNSUPPORTED, "read", NULL,
			       "this is %s: what is taken is tar, tar.gz and tar.zst", other)
		     : 0;
}

static int prepare(struct decode *d, struct failure *f)
{
	if (d->format == DECODE_PLAIN)
		return 0;
	d->buf = malloc(OUT_SIZE);
	if (!d->buf)
		return no_memory(f);
	if (d->format == DECODE_GZIP) {
		z_stream *z = xcalloc(1, sizeof(*z));

		d->zlib = z;
		return inflateInit2(z, WINDOW_GZIP) == Z_OK ? 0 : no_memory(f);
	}
	d->zstd = ZSTD_createDCtx();
	if (!d->zstd)
		return no_memory(f);
	(void)ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, TAR_ZSTD_WINDOW_LOG);
	return 0;
}

/* -- steps ------------------------------------------------------------------------------------- */

/* Behind a stream of gzip: another one, or zeros that fill up a block of a tape. */
static int between(z_stream *z, struct decode *d, struct failure *f)
{
	while (z->avail_in && *z->next_in == 0) {
		z->next_in++;
		z->avail_in--;
	}
	if (!z->avail_in)
		return 0;
	if (*z->next_in != 0x1f)
		return broken(f, "something else follows what gzip made");
	d->whole = false;
	return inflateReset(z) == Z_OK ? 0 : no_memory(f);
}

static int gunzip(struct decode *d, const char *bytes, size_t len, size_t *used, struct failure *f)
{
	z_stream *z = d->zlib;
	int err, status = Z_OK;

	memcpy(&z->next_in, &bytes, sizeof(bytes)); /* zlib knows no const */
	z->avail_in = (uInt)len;
	z->next_out = (Bytef *)d->buf;
	z->avail_out = OUT_SIZE;
	while (z->avail_out == OUT_SIZE) {
		if (d->whole) {
			err = between(z, d, f);
			if (err)
				return err;
			if (d->whole)
				break;
		}
		status = inflate(z, Z_NO_FLUSH);
		if (status == Z_STREAM_END)
			d->whole = true;
		else if (status != Z_OK)
			break; /* Z_BUF_ERROR: it wants more */
	}
	*used += len - z->avail_in;
	d->out = d->buf;
	d->out_len = OUT_SIZE - z->avail_out;
	if (status == Z_MEM_ERROR)
		return no_memory(f);
	if (status == Z_DATA_ERROR || status == Z_NEED_DICT || status == Z_STREAM_ERROR)
		return broken(f, z->msg ? z->msg : "it needs a dictionary");
	return 0;
}

static int unzstd(struct decode *d, const char *bytes, size_t len, size_t *used, struct failure *f)
{
	ZSTD_inBuffer in = {bytes, len, 0};
	ZSTD_outBuffer out = {d->buf, OUT_SIZE, 0};

	while (!out.pos) {
		size_t before = in.pos, left;

		if (d->whole && in.pos == in.size)
			break;
		left = ZSTD_decompressStream(d->zstd, &out, &in);
		if (ZSTD_isError(left)) {
			if (ZSTD_getErrorCode(left) == ZSTD_error_frameParameter_windowTooLarge)
				return failure_set(f, ERR_LIMIT, "read", NULL,
					"it was compressed with a window of more than %u MiB "
					"(tar_zstd_window)",
					(1u << TAR_ZSTD_WINDOW_LOG) >> 20);
			return broken(f, ZSTD_getErrorName(left));
		}
		d->whole = left == 0;
		if (in.pos == before && !out.pos)
			break;
	}
	*used += in.pos;
	d->out = d->buf;
	d->out_len = out.pos;
	return 0;
}

static int some(struct decode *d, const char *bytes, size_t len, size_t *used, struct failure *f)
{
	d->any = d->any || len;
	if (d->format == DECODE_GZIP)
		return gunzip(d, bytes, len, used, f);
	if (d->format == DECODE_ZSTD)
		return unzstd(d, bytes, len, used, f);
	d->out = bytes;
	d->out_len = len;
	*used += len;
	return 0;
}

/* Keeps the first bytes until the format is known by them: `ready`. */
static int look(
	struct decode *d, const char *bytes, size_t len, bool end, size_t *used, struct failure *f)
{
	size_t n = MIN(len, DECODE_HEAD - d->n_head);
	int err;

	if (n)
		memcpy(d->head + d->n_head, bytes, n);
	d->n_head += n;
	*used += n;
	if (d->n_head < DECODE_HEAD && !end)
		return 0;
	err = d->format == DECODE_AUTO ? detect(d, f) : 0;
	if (!err)
		err = prepare(d, f);
	d->ready = !err;
	return err;
}

int decode(
	struct decode *d, const char *bytes, size_t len, bool end, size_t *used, struct failure *f)
{
	int err;

	d->out = "";
	d->out_len = 0;
	if (!d->ready) {
		size_t before = *used;

		err = look(d, bytes, len, end, used, f);
		if (err || !d->ready)
			return err;
		bytes += *used - before;
		len -= *used - before;
	}
	while (d->head_used < d->n_head) {
		err = some(d, d->head + d->head_used, d->n_head - d->head_used, &d->head_used, f);
		if (err || d->out_len)
			return err;
	}
	return some(d, bytes, len, used, f);
}

int decode_end(const struct decode *d, struct failure *f)
{
	if (d->format == DECODE_AUTO || d->format == DECODE_PLAIN || d->whole)
		return 0;
	return broken(f, d->any ? "it is cut off" : "it is empty");
}
