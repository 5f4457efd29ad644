/*
 * proc/tail.h - the last lines of a process's output, both streams as they arrived
 *
 * Thread: loop.
 */
#ifndef PROC_TAIL_H
#define PROC_TAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ring.h"
#include "proc/order.h"

/* Borrowed. */
struct tail {
	const struct ring *ring[2]; /* stdout, stderr */
	bool wanted[2];
	const struct order *order;
};

struct tail_result {
	uint64_t lines; /* in the text; one without a newline at its end is one */
	bool cut;       /* TEXT could not hold all: the first line may lack its beginning */
};

/*
 * The last LINES lines that the rings keep, into TEXT, which is empty and holds no more than its
 * maximum.  Where the order of old bytes is forgotten, stdout's stand before stderr's.
 * 0 or -ENOMEM.
 */
int tail_read(const struct tail *t, uint64_t lines, struct buf *text, struct tail_result *result);

#endif
