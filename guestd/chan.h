/*
 * guestd/chan.h - the stream of a call: data and events under credit
 *
 * Output is pulled.  The owner says chan_ready when it has bytes; the connection asks for them
 * (pull) when the socket takes some and the client's credit allows it, one message from each
 * ready call in turn.  So nothing is queued, and a call that may not send costs nothing.
 *
 * Input is pushed: data() must take what it is given, which the window bounds, and says
 * chan_consumed when the bytes are really gone; that lets the client send more.
 *
 * The stream ends with the request: req_reply_end or req_fail.  If the connection goes first,
 * gone() is the last callback, and the request is no more when it returns.
 *
 * Owner: the request.  Thread: loop.
 */
#ifndef GUESTD_CHAN_H
#define GUESTD_CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "proto/enc.h"

struct req;

enum channel { CHANNEL_IN = 0, CHANNEL_OUT = 1, CHANNEL_ERR = 2 };

/* Events that may be queued at once. */
#define EVENT_BATCH (64u << 10)

/* A stretch of bytes to be sent on one channel. */
struct chunk {
	enum channel channel;
	const char *bytes; /* borrowed until taken() or the next pull() */
	size_t len;
	/*
	 * Instead of `bytes`: they are in `pipe`, which nobody else touches until taken(), and are
	 * out of it then.
	 */
	bool piped;
	int pipe;
};

struct chan_ops {
	/*
	 * The next bytes, at most MAX, are to stand in CHUNK, which is empty; false when there are
	 * none now (chan_ready tells of more).
	 */
	bool (*pull)(void *owner, size_t max, struct chunk *chunk);
	/*
	 * Queues events that wait elsewhere, about EVENT_BATCH bytes of them; false when there are
	 * none left (chan_events_ready tells of more).  They need room, as bytes do, but no credit.
	 */
	bool (*events)(void *owner);
	/* CHUNK is on its way: forget its bytes.  May end the request. */
	void (*taken)(void *owner, const struct chunk *chunk);
	/* LEN bytes for CHANNEL, borrowed during the call.  NULL: input is dropped. */
	void (*data)(void *owner, unsigned channel, const char *bytes, size_t len);
	/* The client sends no more on CHANNEL_IN.  Once. */
	void (*eof)(void *owner);
	/* The client wants the call to stop: end the request soon, with ERR_CANCELED. */
	void (*cancel)(void *owner);
	/* The connection is gone. */
	void (*gone)(void *owner);
};

struct chan {
	const struct chan_ops *ops; /* NULL = the call has no stream */
	void *owner;
	struct list link;     /* conn.sendable */
	uint64_t credit;      /* data bytes that the client still takes */
	uint64_t granted;     /* data bytes that the client may still send */
	uint64_t consumed;    /* of those sent: consumed, and not granted anew yet */
	size_t input_pending; /* given to data() and not consumed */
	bool input_ended;
	bool ready;        /* pull may have something */
	bool events_ready; /* events may */
	bool canceled;
};

/* Turns REQ into a stream.  OPS is static; OWNER lives until the request ends or gone(). */
void chan_open(struct req *req, const struct chan_ops *ops, void *owner);

/* There are bytes to pull, or events to be asked for.  Idempotent. */
void chan_ready(struct req *req);

/*
 * The same for a few bytes: where the client was sent something within the last millisecond and
 * has asked for nothing since, they wait that long for more.  A program that prints line by line costs
 * a message a millisecond then, and who types sees the echo at once.
 */
void chan_ready_soon(struct req *req);
void chan_events_ready(struct req *req);

/* LEN bytes given to data() are gone. */
void chan_consumed(struct req *req, size_t len);

/* The client may send N bytes more than the window, from now on.  Nothing without credits. */
void chan_grant(struct req *req, size_t n);

/* Begins [5, id, ...: the caller encodes the event, a map with `type`. */
void chan_event_begin(struct req *req, struct enc *e);
void chan_event_end(struct req *req, struct enc *e);
void chan_event_end_soon(struct req *req, struct enc *e); /* it may wait a millisecond */

/* No more data on CHANNEL: [4, id, channel]. */
void chan_end(struct req *req, enum channel channel);

/* For conn.c and dispatch.c. */
bool chan_pull(struct req *req, struct chunk *chunk);
void chan_taken(struct req *req, const struct chunk *chunk);
void chan_input(struct req *req, unsigned channel, const char *bytes, size_t len);
void chan_input_end(struct req *req, unsigned channel);
void chan_add_credit(struct req *req, uint64_t n);
void chan_uncount(struct req *req); /* the connection goes (back) to transport mode */
void chan_cancel(struct req *req);
void chan_fini(struct req *req);

#endif
