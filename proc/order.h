/*
 * proc/order.h - in which order stretches of stdout and stderr arrived
 *
 * The last MAX_STRETCHES of them; what is older is forgotten.  Bytes of one stream behind one
 * another are one stretch, so that a process that writes to one alone costs nothing.
 *
 * Zeroed is empty.  Thread: loop.
 */
#ifndef PROC_ORDER_H
#define PROC_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_STRETCHES 4096

struct order {
	uint64_t *at;         /* private */
	size_t first, n, cap; /* cap: entries that there is memory for */
};

struct stretch {
	unsigned stream;
	uint64_t len;
};

/* LEN bytes came on STREAM (0 stdout, 1 stderr). */
void order_add(struct order *o, unsigned stream, size_t len);
void order_fini(struct order *o);

/* The stretch that BACK others came after, 0 being the newest.  False: forgotten, or never was. */
bool order_get(const struct order *o, size_t back, struct stretch *out);

#endif
