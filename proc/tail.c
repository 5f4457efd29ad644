/*
 * proc/tail.c - the last lines of a process's output, both streams as they arrived
 *
 * Walked from the newest byte backwards, twice: to see where the lines begin, and to copy.
 */
#include "proc/tail.h"

#include <errno.h>
#include <string.h>

struct walk {
	const struct tail *t;
	size_t back;       /* stretches behind us */
	uint64_t older[2]; /* in each stream: the end of what is not walked yet */
	unsigned stream;
	uint64_t from, to; /* what is left of the stretch at hand */
};

static void walk_init(struct walk *w, const struct tail *t)
{
	*w = (struct walk){.t = t, .older = {t->ring[0]->head, t->ring[1]->head}};
}

/* The next LEN bytes of STREAM, as far as they are wanted and kept.  False: none is. */
static bool take(struct walk *w, unsigned stream, uint64_t len)
{
	len = MIN(len, w->older[stream] - w->t->ring[stream]->tail);
	if (!w->t->wanted[stream] || len == 0)
		return false;
	w->stream = stream;
	w->to = w->older[stream];
	w->from = w->older[stream] = w->to - len;
	return true;
}

static bool next_stretch(struct walk *w)
{
	struct stretch s;

	while (order_get(w->t->order, w->back, &s)) {
		w->back++;
		if (take(w, s.stream, s.len))
			return true;
	}
	/* In which order the rest came, nobody remembers. */
	return take(w, 1, UINT64_MAX) || take(w, 0, UINT64_MAX);
}

/* The bytes before those of the last call, as far as they lie in one piece; 0 at the oldest. */
static size_t next_piece(struct walk *w, const char **bytes)
{
	const struct ring *r;
	size_t n;

	if (w->from == w->to && !next_stretch(w))
		return 0;
	r = w->t->ring[w->stream];
	n = ring_peek(r, w->from, bytes);
	if (n < w->to - w->from) { /* it wraps: what is behind that comes first */
		uint64_t second = w->from + n;

		ring_peek(r, second, bytes);
		n = (size_t)(w->to - second);
	} else {
		n = (size_t)(w->to - w->from);
	}
	w->to -= n;
	return n;
}

/* How many bytes the last LINES lines are; no more than MAX. */
static size_t measure(const struct tail *t, uint64_t lines, size_t max, bool *cut)
{
	const char *bytes = NULL;
	size_t n = 0, len;
	struct walk w;

	walk_init(&w, t);
	while (lines && n <= max && (len = next_piece(&w, &bytes))) {
		/* The very last newline ends a line; each one before that begins one, too. */
		size_t at = n == 0 && bytes[len - 1] == '\n' ? len - 1 : len;

		while (lines && at) {
			if (bytes[--at] == '\n')
				lines--;
		}
		n += lines ? len : len - at - 1;
	}
	*cut = n > max;
	return MIN(n, max);
}

static void copy(const struct tail *t, char *to, size_t len)
{
	struct walk w;

	walk_init(&w, t);
	while (len) {
		const char *bytes = NULL;
		size_t n = next_piece(&w, &bytes);
		size_t part = MIN(n, len);

		ASSERT(part); /* it was there when we measured */
		len -= part;
		memcpy(to + len, bytes + n - part, part);
	}
}

static uint64_t count_lines(const char *text, size_t len)
{
	const char *end = text + len;
	uint64_t n = 0;

	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));

		n++;
		text = newline ? newline + 1 : end;
	}
	return n;
}

int tail_read(const struct tail *t, uint64_t lines, struct buf *text, struct tail_result *result)
{
	size_t len = measure(t, lines, text->max, &result->cut);
	char *to;

	result->lines = 0;
	if (len == 0)
		return 0;
	to = buf_reserve(text, len);
	if (!to)
		return -ENOMEM;
	copy(t, to, len);
	buf_commit(text, len);
	result->lines = count_lines(to, len);
	return 0;
}
