/* proto/serial.c - messages out of a serial line */
#include "proto/serial.h"

#include <string.h>
#include <sys/types.h>

#include "proto/cobs.h"

void serial_init(struct serial_reader *r, size_t max)
{
	*r = (struct serial_reader){0};
	buf_init(&r->frame, SERIAL_FRAME_MAX(max));
}

void serial_fini(struct serial_reader *r)
{
	buf_fini(&r->frame);
}

void serial_push(struct serial_reader *r, const char *bytes, size_t len)
{
	r->window = bytes;
	r->left = len;
}

static void take(struct serial_reader *r, size_t len)
{
	if (!r->skipping && buf_add(&r->frame, r->window, len) < 0)
		r->skipping = true;
	if (r->skipping)
		buf_clear(&r->frame);
	r->window += len;
	r->left -= len;
}

int serial_next(struct serial_reader *r, const char **message, size_t *len)
{
	const char *zero;

	if (r->handed_out) {
		buf_consume(&r->frame, buf_len(&r->frame));
		r->handed_out = false;
	}
	while ((zero = r->left ? memchr(r->window, 0, r->left) : NULL)) {
		ssize_t n;

		take(r, (size_t)(zero - r->window));
		r->window++;
		r->left--;
		r->skipping = false;
		n = buf_len(&r->frame)
			    ? serial_frame_decode(buf_bytes(&r->frame), buf_len(&r->frame))
			    : -1;
		if (n > 0) {
			*message = buf_bytes(&r->frame);
			*len = (size_t)n;
			r->handed_out = true;
			return 1;
		}
		buf_consume(&r->frame, buf_len(&r->frame));
	}
	take(r, r->left);
	return 0;
}
