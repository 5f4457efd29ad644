/* proto/frame.c - length-prefixed frames out of a byte stream */
#include "proto/frame.h"

#include <errno.h>
#include <string.h>

#include "proto/limits.h"

void frame_init(struct frame_reader *r, uint32_t max)
{
	*r = (struct frame_reader){.max = max};
	buf_init(&r->kept, FRAME_HEADER + (size_t)max + READ_CHUNK);
	r->kept.secret = true; /* nobody knows before it is whole */
}

void frame_fini(struct frame_reader *r)
{
	buf_fini(&r->kept);
}

void frame_push(struct frame_reader *r, const char *bytes, size_t len)
{
	ASSERT(r->left == 0);
	r->window = bytes;
	r->left = len;
}

static int fail(struct frame_reader *r, const char *why)
{
	r->why = why;
	return -EPROTO;
}

static uint32_t header_len(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* Bytes that the frame at P needs in all, as far as HAVE bytes tell; 0 when it is invalid. */
static size_t frame_size(struct frame_reader *r, const char *p, size_t have)
{
	uint32_t n;

	if (have < FRAME_HEADER)
		return FRAME_HEADER;
	n = header_len(p);
	if (n == 0 || n > r->max)
		return 0;
	return FRAME_HEADER + (size_t)n;
}

static int take(struct frame_reader *r, size_t n)
{
	if (buf_add(&r->kept, r->window, n) < 0)
		return fail(r, "out of memory for a frame");
	r->window += n;
	r->left -= n;
	return 0;
}

/*
 * The frame that was handed out is done with.  Its memory stays until no frame is cut any more:
 * in a stream every push cuts one.
 */
static void drop_done(struct frame_reader *r)
{
	struct buf *b = &r->kept;

	b->head += r->done;
	if (b->head == b->tail)
		b->head = b->tail = 0;
	r->done = 0;
}

int frame_keep(struct frame_reader *r)
{
	drop_done(r);
	return take(r, r->left);
}

bool frame_wipe(struct frame_reader *r)
{
	if (r->done) {
		explicit_bzero(buf_bytes(&r->kept), r->done);
		return true;
	}
	/* Pushed memory is the pusher's, who lets us have it to the end of what is in it. */
	explicit_bzero((char *)r->window - r->last, r->last);
	return false;
}

/* Room for a frame as a whole: growing bit by bit would copy it again and again. */
static int make_room(struct frame_reader *r, size_t size)
{
	size_t have = buf_len(&r->kept);

	if (size > have && !buf_reserve(&r->kept, size - have))
		return fail(r, "out of memory for a frame");
	return 0;
}

size_t frame_kept(const struct frame_reader *r)
{
	return buf_len(&r->kept) - r->done;
}

int frame_next(struct frame_reader *r, const char **body, size_t *len)
{
	size_t size, have;

	drop_done(r);
	/* Finish the frame that was cut, and no more: the rest is read where it lies. */
	while ((have = buf_len(&r->kept)) > 0) {
		size = frame_size(r, buf_bytes(&r->kept), have);
		if (size == 0)
			return fail(r, "frame length is 0 or above max_frame");
		if (have >= size && size > FRAME_HEADER) {
			*body = buf_bytes(&r->kept) + FRAME_HEADER;
			*len = size - FRAME_HEADER;
			r->done = r->last = size;
			return 1;
		}
		if (r->left == 0)
			return 0;
		if (make_room(r, size))
			return -EPROTO;
		if (take(r, MIN(size > have ? size - have : 1, r->left)))
			return -EPROTO;
	}
	if (r->left == 0) {
		buf_clear(&r->kept);
		return 0;
	}
	size = frame_size(r, r->window, r->left);
	if (size == 0)
		return fail(r, "frame length is 0 or above max_frame");
	if (size > r->left || size == FRAME_HEADER)
		return make_room(r, size) ? -EPROTO : take(r, r->left);
	r->last = size;
	*body = r->window + FRAME_HEADER;
	*len = size - FRAME_HEADER;
	r->window += size;
	r->left -= size;
	return 1;
}

void frame_header(char out[FRAME_HEADER], uint32_t len)
{
	out[0] = (char)(len >> 24);
	out[1] = (char)(len >> 16);
	out[2] = (char)(len >> 8);
	out[3] = (char)len;
}
