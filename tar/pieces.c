/* tar/pieces.c - where the data of a file with holes lies */
#include "tar/pieces.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/limits.h"
#include "tar/pax.h"

#define FIRST      16u
#define LEAST_HOLE 4096u

/* Takes one to the last where the hole between them is too small. */
static bool joins(const struct pieces *p, const struct piece *next, struct piece *last)
{
	if (next->at - (last->at + last->len) >= p->least)
		return false;
	last->len = next->at + next->len - last->at;
	return true;
}

/* Half of them will do, or nearly so: fills ever larger holes. */
static void thin(struct pieces *p)
{
	while (p->n > p->size / 2) {
		size_t n = 1;

		p->least *= 2;
		for (size_t i = 1; i < p->n; i++) {
			if (!joins(p, &p->piece[i], &p->piece[n - 1]))
				p->piece[n++] = p->piece[i];
		}
		p->n = n;
	}
}

static int add(struct pieces *p, const struct piece *next)
{
	if (p->n && joins(p, next, &p->piece[p->n - 1]))
		return 0;
	if (p->n == p->size && p->size == TAR_PIECES_MAX)
		thin(p);
	if (p->n == p->size) {
		size_t size = p->size ? 2 * p->size : FIRST;
		struct piece *piece = realloc(p->piece, size * sizeof(*piece));

		if (!piece)
			return -ENOMEM;
		p->piece = piece;
		p->size = size;
	}
	p->piece[p->n++] = *next;
	return 0;
}

int pieces_read(
	struct pieces *p, int fd, uint64_t size, bool (*canceled)(const void *ctx), const void *ctx)
{
	uint64_t pos = 0;
	int err = 0;

	pieces_free(p);
	p->least = LEAST_HOLE;
	while (!err && pos < size) {
		off_t data = lseek(fd, (off_t)pos, SEEK_DATA), hole;
		struct piece next;

		if (data < 0 && errno == ENXIO)
			break; /* a hole to the end */
		hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		if (hole < 0)
			return -ENODATA;
		if ((uint64_t)data >= size)
			break;
		next.at = (uint64_t)data;
		next.len = MIN((uint64_t)hole, size) - next.at;
		err = canceled(ctx) ? -ECANCELED : add(p, &next);
		pos = next.at + next.len;
	}
	for (size_t i = 0; i < p->n; i++)
		p->bytes += p->piece[i].len;
	if (!err && p->bytes == size)
		err = -ENODATA;
	return err;
}

int pieces_map(const struct pieces *p, uint64_t size, struct buf *out)
{
	static const char zeros[PAX_BLOCK];
	/* A hole at the end is told by a piece of nothing behind it. */
	bool open = !p->n || p->piece[p->n - 1].at + p->piece[p->n - 1].len < size;
	size_t before = buf_len(out);
	int err;

	for (size_t i = 0; i <= p->n + open; i++) {
		struct piece at = {.at = size};
		char line[64];
		int n;

		if (i && i <= p->n)
			at = p->piece[i - 1];
		n = i ? snprintf(line, sizeof(line), "%llu\n%llu\n", (unsigned long long)at.at,
				(unsigned long long)at.len)
		      : snprintf(line, sizeof(line), "%zu\n", p->n + open);
		err = buf_add(out, line, (size_t)n);
		if (err)
			return err;
	}
	if (!pax_padding(buf_len(out) - before))
		return 0;
	return buf_add(out, zeros, pax_padding(buf_len(out) - before));
}

void pieces_free(struct pieces *p)
{
	free(p->piece);
	*p = (struct pieces){0};
}
