/* base/mem.c - allocation that cannot fail, and arenas that can */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *p)
{
	ASSERT(p != NULL); /* out of memory for a size of our own */
	return p;
}

void *xcalloc(size_t n, size_t size)
{
	return checked(calloc(n, size));
}

void *xmalloc(size_t size)
{
	return checked(malloc(size));
}

char *xstrdup(const char *s)
{
	return checked(strdup(s));
}

char *xasprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return checked(s);
}

struct arena *arena_new(size_t len)
{
	struct arena *a = malloc(sizeof(*a) + len);

	if (a) {
		a->len = len;
		a->used = 0;
		a->secret = false;
	}
	return a;
}

void arena_free(struct arena *a)
{
	if (a && a->secret)
		explicit_bzero(a->data, a->used);
	free(a);
}

void *arena_alloc(struct arena *a, size_t len)
{
	size_t start = (a->used + 15) & ~(size_t)15;

	if (start > a->len || len > a->len - start)
		return NULL;
	a->used = start + len;
	return memset(a->data + start, 0, len);
}

char *arena_copy(struct arena *a, const void *bytes, size_t len)
{
	char *p = a->data + a->used;

	if (len >= a->len - a->used)
		return NULL;
	if (len)
		memcpy(p, bytes, len);
	p[len] = '\0';
	a->used += len + 1;
	return p;
}
