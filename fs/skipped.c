/* fs/skipped.c - the parts of a tree that could not be read */
#include "fs/skipped.h"

#include <string.h>

#include "proto/limits.h"

/* The two keys, the array's header and the number. */
#define AROUND 48u

void skipped_begin(struct skipped *s, const struct work *w)
{
	/* The result itself needs most of the frame. */
	buf_init(&s->buf, MIN(SKIPPED_MAX, w->max_result / 4));
	s->enc.buf = &s->buf;
}

void skipped_add(struct skipped *s, const char *path, int err)
{
	skipped_tell(s, path, err,
		err < 0 ? strerror(-err) : "it is longer than a frame, or lies too deep");
}

void skipped_tell(struct skipped *s, const char *path, int err, const char *why)
{
	size_t before = buf_len(&s->buf);
	struct failure f;

	if (s->total++ != s->told) /* the first ones, without gaps */
		return;
	failure_set(&f, err, NULL, NULL, "%s", why);
	enc_map_end(&s->enc, enc_map_begin(&s->enc), 2);
	enc_kv_text(&s->enc, "path", path);
	enc_str(&s->enc, "error");
	failure_encode(&f, &s->enc);
	if (!s->enc.failed) {
		s->told++;
		return;
	}
	s->enc.failed = false;
	if (before)
		s->buf.tail = s->buf.head + before;
	else
		buf_clear(&s->buf);
}

size_t skipped_reserve(const struct skipped *s)
{
	return s->buf.max + AROUND;
}

size_t skipped_encode(const struct skipped *s, struct enc *e)
{
	size_t mark;

	if (!s->total)
		return 0;
	enc_str(e, "skipped");
	mark = enc_array_begin(e);
	if (buf_len(&s->buf) && buf_add(e->buf, buf_bytes(&s->buf), buf_len(&s->buf)) < 0)
		e->failed = true;
	enc_array_end(e, mark, (size_t)s->told);
	enc_kv_uint(e, "skipped_total", s->total);
	return 2;
}

void skipped_fini(struct skipped *s)
{
	buf_fini(&s->buf);
}
