/*
 * proto/frame.h - length-prefixed frames out of a byte stream
 *
 * Bytes are pushed as they arrive and frames are pulled; a frame that lies complete in what
 * was pushed is never copied, only a frame cut by the end of a read is.
 *
 *	frame_push(r, bytes, len);
 *	while ((n = frame_next(r, &body, &body_len)) == 1)
 *		...
 *
 * Bound: one frame and one push.  Thread: one at a time.
 */
#ifndef PROTO_FRAME_H
#define PROTO_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define FRAME_HEADER 4

struct frame_reader {
	uint32_t max;       /* longest body taken */
	struct buf kept;    /* what earlier pushes left over */
	size_t last;        /* bytes of the frame that was handed out last */
	size_t done;        /* bytes of `kept` that the last frame_next handed out */
	const char *window; /* borrowed: the rest of the last push */
	size_t left;
	const char *why; /* set when frame_next fails */
};

void frame_init(struct frame_reader *r, uint32_t max);
void frame_fini(struct frame_reader *r);

/* BYTES are borrowed until frame_next returns 0, or frame_keep is called. */
void frame_push(struct frame_reader *r, const char *bytes, size_t len);

/*
 * 1: *BODY is a frame's body, valid until the next call; 0: more bytes are needed, what is left
 * was kept; -EPROTO: the peer broke framing, r->why says how.
 */
int frame_next(struct frame_reader *r, const char **body, size_t *len);

/* 0 or -EPROTO.  Copies what was pushed and not yet pulled, so that the pusher may have its memory back. */
int frame_keep(struct frame_reader *r);

/*
 * Overwrites the frame that was handed out last, which held a secret; its body is gone then.  True:
 * it had been cut, and a part of it may still lie where it was pushed from before.
 */
bool frame_wipe(struct frame_reader *r);

/* Bytes kept inside the reader. */
size_t frame_kept(const struct frame_reader *r);

/* The four bytes before a body of LEN bytes. */
void frame_header(char out[FRAME_HEADER], uint32_t len);

#endif
