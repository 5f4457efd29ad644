/*
 * guestd/pump.h - bytes between a descriptor and memory
 *
 * Two directions, each with one owner and one watcher:
 *
 *	source   descriptor -> ring     reads while the ring has room; pauses when it has none
 *	sink     buffer -> descriptor   writes at once what it can, keeps the rest in order
 *
 * A kernel pipe behind either gives the rest of the back pressure.  Descriptors are
 * non-blocking and owned by the pump; it closes them at the end.
 *
 * Owner: embedded in the object that it serves.  Thread: loop.
 */
#ifndef GUESTD_PUMP_H
#define GUESTD_PUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ring.h"
#include "guestd/loop.h"

struct source {
	struct ring ring;
	bool eof; /* the descriptor is at its end, and closed */

	/* private */
	int fd;
	bool wide; /* the pipe was enlarged */
	struct ev_io io;
	/* The position of the slowest reader: what lies behind it is not overwritten. */
	uint64_t (*floor)(struct source *source);
	/* The ring has more bytes, or eof was set. */
	void (*more)(struct source *source);
	/* It holds all that it may until a reader moves; NULL = nobody cares. */
	void (*full)(struct source *source);
};

/* Not reading yet.  LIMIT bytes are kept at most. */
void source_init(struct source *s, size_t limit, struct ring_budget *budget,
	uint64_t (*floor)(struct source *source), void (*more)(struct source *source));
void source_fini(struct source *s);

/* Takes FD and reads from it.  TTY: it is a terminal, which can be written to as well. */
void source_start(struct source *s, int fd, bool tty);

/* Reads what is there now, without waiting for the loop to say so. */
void source_poll(struct source *s);

/* Readers moved: read on if there is room now. */
void source_resume(struct source *s);

struct sink {
	bool broken;   /* nobody reads at the other end; what is written is dropped */
	uint64_t gone; /* bytes, written or dropped, since the start */

	/* private */
	int fd; /* -1: not started, or closed */
	bool ending;
	struct ev_io io;
	struct buf queue;
	/* LEN bytes are gone: written or dropped.  Not called from inside sink_write. */
	void (*consumed)(struct sink *sink, size_t len);
};

/* At most MAX bytes wait in the queue. */
void sink_init(struct sink *s, size_t max, void (*consumed)(struct sink *sink, size_t len));
void sink_fini(struct sink *s);

/* Takes FD. */
void sink_start(struct sink *s, int fd);

/*
 * How many of LEN bytes are gone already (written, or dropped because the sink is broken);
 * the rest is queued and reported through consumed().  -ENOBUFS: the queue is full.
 */
MUST_CHECK ssize_t sink_write(struct sink *s, const char *bytes, size_t len);

/* No more will be written: closes when the queue is empty. */
void sink_end(struct sink *s);

#endif
