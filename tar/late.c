/* tar/late.c - what directories get at the end */
#include "tar/late.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "fs/attrs.h"
#include "proto/err.h"
#include "proto/limits.h"

struct late_dir {
	struct late_dir *next;
	struct timespec times[2];
	mode_t mode;
	unsigned depth;
	size_t number;
	char path[];
};

/* Of all imports. */
static atomic_size_t total;

static bool charge(struct late *l, size_t bytes)
{
	if (bytes > IMPORT_LATE_MAX - l->bytes)
		return false;
	if (atomic_fetch_add(&total, bytes) > IMPORT_LATE_TOTAL - bytes) {
		atomic_fetch_sub(&total, bytes);
		return false;
	}
	l->bytes += bytes;
	return true;
}

int late_add(struct late *l, const char *path, mode_t mode, const struct timespec times[2])
{
	size_t len = strlen(path) + 1;
	struct late_dir *d;

	/* And the pointer that sorting needs. */
	if (!charge(l, sizeof(*d) + len + sizeof(d)))
		return ERR_LIMIT;
	d = malloc(sizeof(*d) + len);
	if (!d)
		return -ENOMEM;
	*d = (struct late_dir){.times = {times[0], times[1]}, .mode = mode, .number = l->n++};
	memcpy(d->path, path, len);
	for (const char *p = path; *p; p++)
		d->depth += *p == '/';
	d->depth += *path != '\0';
	if (!l->tail)
		l->tail = &l->first;
	*l->tail = d;
	l->tail = &d->next;
	return 0;
}

static int deepest_first(const void *a, const void *b)
{
	const struct late_dir *x = *(struct late_dir *const *)a, *y = *(struct late_dir *const *)b;

	if (x->depth != y->depth)
		return x->depth > y->depth ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

static int sort(struct late *l)
{
	size_t i = 0;

	if (!l->n)
		return 0;
	l->sorted = calloc(l->n, sizeof(struct late_dir *));
	if (!l->sorted)
		return -ENOMEM;
	for (struct late_dir *d = l->first; d; d = d->next)
		l->sorted[i++] = d;
	qsort(l->sorted, l->n, sizeof(struct late_dir *), deepest_first);
	return 0;
}

static unsigned apply(const struct below *b, const struct late_dir *d)
{
	cleanup_fd int fd = below_open(b, d->path);
	char held[32];
	unsigned lost = 0;

	if (fd < 0)
		return ATTRS_LOST_MODE | ATTRS_LOST_TIMES;
	/* It is a directory, and this leads to nothing else. */
	snprintf(held, sizeof(held), "/proc/self/fd/%d", fd);
	if (utimensat(AT_FDCWD, held, d->times, 0) < 0)
		lost |= ATTRS_LOST_TIMES;
	if (chmod(held, d->mode) < 0)
		lost |= ATTRS_LOST_MODE;
	return lost;
}

int late_apply(
	struct late *l, const struct below *b, bool (*stop)(const void *ctx), const void *ctx)
{
	if (!l->sorted && sort(l))
		return -ENOMEM;
	for (; l->at < l->n; l->at++) {
		if (stop(ctx))
			return LATE_MORE;
		l->lost |= apply(b, l->sorted[l->at]);
	}
	return 0;
}

void late_fini(struct late *l)
{
	while (l->first) {
		struct late_dir *d = l->first;

		l->first = d->next;
		free(d);
	}
	free(l->sorted);
	atomic_fetch_sub(&total, l->bytes);
	*l = (struct late){0};
}
