/*
 * tests/fuzz/fuzz_frame.c - proto/frame: any stream in any pieces gives the frames of the stream
 *
 * The input says how it is cut: byte 0 is the reader's maximum; then, again and again, a byte
 * whose low six bits are the length of the piece that follows, bit 6 has the reader keep the rest
 * after two frames, and bit 7 multiplies the length by 64.
 */
#include "proto/frame.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"

/* The stream without its cuts, and how far the reader's frames have come in it. */
struct stream {
	uint8_t *bytes;
	size_t len, pos;
	uint32_t max;
};

/* The length of the frame at POS: 0 when it is not complete, -1 when there cannot be one. */
static long reference(const struct stream *s)
{
	const uint8_t *p = s->bytes + s->pos;
	size_t left = s->len - s->pos;
	uint32_t n;

	if (left < FRAME_HEADER)
		return 0;
	n = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
	if (n == 0 || n > s->max)
		return -1;
	return left - FRAME_HEADER < n ? 0 : (long)n;
}

/* Pulls up to N frames.  1: there may be more, 0: bytes are needed, -1: the stream is broken. */
static int pull(struct frame_reader *r, struct stream *s, size_t n)
{
	while (n--) {
		long want = reference(s);
		const char *body;
		size_t len;
		int have = frame_next(r, &body, &len);

		if (want < 0) {
			ASSERT(have == -EPROTO && r->why);
			return -1;
		}
		if (want == 0) {
			ASSERT(have == 0 && frame_kept(r) == s->len - s->pos);
			return 0;
		}
		ASSERT(have == 1 && len == (size_t)want);
		ASSERT(memcmp(body, s->bytes + s->pos + FRAME_HEADER, len) == 0);
		s->pos += FRAME_HEADER + len;
	}
	return 1;
}

/* Hands LEN bytes over in a block that is gone as soon as the contract allows. */
static int push(
	struct frame_reader *r, struct stream *s, const uint8_t *bytes, size_t len, bool keep)
{
	char *piece = malloc(len + !len);
	int more = 1;

	ASSERT(piece);
	memcpy(piece, bytes, len);
	memcpy(s->bytes + s->len, bytes, len);
	s->len += len;
	frame_push(r, piece, len);
	if (keep) {
		more = pull(r, s, 2);
		if (more > 0)
			ASSERT(frame_keep(r) == 0);
		free(piece);
		piece = NULL;
	}
	if (more > 0)
		more = pull(r, s, SIZE_MAX);
	free(piece);
	return more;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct stream s = {.bytes = malloc(len + 1), .max = len ? bytes[0] + 1u : 1};
	struct frame_reader r;

	ASSERT(s.bytes);
	frame_init(&r, s.max);
	for (size_t i = 1; i < len;) {
		uint8_t cut = bytes[i++];
		size_t n = (size_t)(cut & 0x3f) << (cut & 0x80 ? 6 : 0);

		n = MIN(n, len - i);
		if (push(&r, &s, bytes + i, n, cut & 0x40) < 0)
			break;
		i += n;
	}
	frame_fini(&r);
	free(s.bytes);
	return 0;
}
