/*
 * proto/serial.h - messages out of a serial line, on which kernel messages and noise come too
 *
 * Like proto/frame.h, for the other framing: what lies between two zero bytes is a message, or it
 * is dropped.  How a message is written is in proto/cobs.h.
 *
 *	serial_push(r, bytes, len);
 *	while (serial_next(r, &message, &n) == 1)
 *		...
 *
 * Bound: the longest frame.  Thread: one at a time.
 */
#ifndef PROTO_SERIAL_H
#define PROTO_SERIAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct serial_reader {
	struct buf frame; /* since the last zero byte, still encoded */
	bool skipping;    /* longer than any frame: until the next zero byte */
	bool handed_out;  /* `frame` is what the last serial_next gave out */
	const char *window;
	size_t left; /* of the last push */
};

/* MAX: the longest message taken. */
void serial_init(struct serial_reader *r, size_t max);
void serial_fini(struct serial_reader *r);

/* BYTES are borrowed until serial_next returns 0. */
void serial_push(struct serial_reader *r, const char *bytes, size_t len);

/* 1: *MESSAGE has LEN bytes, valid until the next call; 0: more bytes are needed. */
int serial_next(struct serial_reader *r, const char **message, size_t *len);

#endif
