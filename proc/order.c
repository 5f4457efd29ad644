/*
 * proc/order.c - in which order stretches of stdout and stderr arrived
 *
 * An array that doubles up to MAX_STRETCHES, and is a ring from then on.  An entry is the length,
 * and the stream in its lowest bit.
 */
#include "proc/order.h"

#include <stdlib.h>

#include "base/check.h"

#define FIRST_CAP 4u

static uint64_t *entry(const struct order *o, size_t i)
{
	return &o->at[(o->first + i) % o->cap];
}

static void grow(struct order *o)
{
	o->cap = o->cap ? 2 * o->cap : FIRST_CAP;
	o->at = realloc(o->at, o->cap * sizeof(*o->at));
	ASSERT(o->at);
}

void order_add(struct order *o, unsigned stream, size_t len)
{
	ASSERT(stream < 2);
	if (len == 0)
		return;
	if (o->n && (*entry(o, o->n - 1) & 1) == stream) {
		*entry(o, o->n - 1) += (uint64_t)len << 1;
		return;
	}
	if (o->n == MAX_STRETCHES) {
		o->first = (o->first + 1) % o->cap;
		o->n--;
	} else if (o->n == o->cap) {
		grow(o);
	}
	*entry(o, o->n++) = (uint64_t)len << 1 | stream;
}

void order_fini(struct order *o)
{
	free(o->at);
	*o = (struct order){0};
}

bool order_get(const struct order *o, size_t back, struct stretch *out)
{
	uint64_t e;

	if (back >= o->n)
		return false;
	e = *entry(o, o->n - 1 - back);
	*out = (struct stretch){.stream = e & 1, .len = e >> 1};
	return true;
}
