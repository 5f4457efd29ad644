/*
 * guestd/conn.h - one host connection: its socket, its output, its life
 *
 *	OPEN --- goodbye ---> LINGERING --- peer took it, or 5 s ---> DEAD
 *	  \------------------- peer gone, error ---------------------/
 *
 * Input is read while there is room for what it can cause: above OUT_HIGH bytes of unsent
 * output, or INPUT_HIGH of unread stdin without credits, nothing more is read.
 *
 * Output leaves at the end of the turn: first the control queue `out` (responses, events,
 * credit), then data, one message from each call in turn (chan.h).  Data is not queued, it is
 * asked for when the socket takes it: a client that does not read costs OUT_HIGH and no more.
 *
 * Owner: the server's list.  conn_kill marks; the end of the turn frees.  Thread: loop.
 */
#ifndef GUESTD_CONN_H
#define GUESTD_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "guestd/loop.h"
#include "proto/enc.h"
#include "proto/frame.h"

struct req;

enum conn_state { CONN_OPEN, CONN_LINGERING, CONN_DEAD };

#define CONN_REQ_BUCKETS 64

struct conn {
	/* read by dispatch.c, req.c, chan.c */
	enum conn_state state;
	unsigned number; /* for the log */
	bool authorized;
	bool local;               /* a Unix socket: takes pages from a pipe for less than a copy */
	bool heard_secret;        /* the message at hand holds secrets */
	bool credit_mode;         /* hello named a window */
	uint64_t window;          /* what each call may send at first, in credit mode */
	uint32_t max_frame;       /* longest body, both directions */
	uint32_t first_max_frame; /* what it is where hello does not say */
	struct buf out;
	struct list sendable; /* req.chan.link: has data and credit, in turn */
	struct list replies;  /* req.reply_link: a response waits for room */
	struct list reqs;     /* req.link */
	struct list watches;  /* conn_watch.link */
	unsigned n_reqs;
	struct req *by_id[CONN_REQ_BUCKETS];
	size_t arena_bytes;   /* parameters of open calls */
	size_t input_pending; /* bytes that calls took and have not consumed */

	/* private to conn.c, and crowd.c */
	struct list link; /* conns */
	struct grave grave;
	struct turn turn;
	int fd;
	struct ev_io readable, writable;
	struct ev_timer soon;  /* conn_flush_soon */
	struct ev_timer alive; /* keepalive, or the deadline of the token */
	struct ev_timer watch; /* while reading is paused or lingering: is the peer still there? */
	struct ev_timer starved; /* the kernel had no memory for what was sent */
	struct frame_reader in;
	bool paused, blocked;
	bool refused;        /* one too many: told so when it speaks */
	bool heard;          /* it has said something */
	bool wipe_chunk;     /* read_chunk may hold a part of a secret */
	bool reprieved;      /* what it sent lay unread when its time was up */
	bool overflowed;     /* a message did not fit into the queue: to be killed */
	ev_tstamp keepalive; /* seconds; 0 = none */
	ev_tstamp last_in, last_out;
	ev_tstamp last_asked; /* more than credit came */
	ev_tstamp linger_since;
};

/* Somebody who wants to know when a connection ends; its calls are gone by then. */
struct conn_watch {
	struct list link; /* conn.watches; initialised by its owner */
	void (*gone)(struct conn_watch *watch);
};

/*
 * Takes FD.  MAX_FRAME holds until a hello says otherwise.  With too many connections the one that
 * is least missed goes; where each is in use the new peer gets a goodbye.
 */
void conn_new(int fd, bool need_token, uint32_t max_frame);
size_t conn_count(void);

/* When a peer on AF_VSOCK last said something, in the time of loop_now; 0: never. */
ev_tstamp conn_vsock_heard(void);

/* Something is in conn->out, conn->sendable or conn->replies: flush it at the end of the turn. */
void conn_flush_later(struct conn *conn);

/* The same for a message that may wait a millisecond for company: one write for both. */
void conn_flush_soon(struct conn *conn);

/* Within that time, and the peer has asked for nothing since: credit alone is no question. */
bool conn_wrote_just_now(const struct conn *conn);

/*
 * Tells the peer why, in a last message, and closes when it took that.  One that never said
 * anything is just closed: a proxy may swallow what comes before the client spoke.
 */
void conn_goodbye(struct conn *conn, int err, const char *why);

/* For all of them: the agent is ending. */
void conn_goodbye_all(int err, const char *why);

/* Closes at once; its calls are gone. */
void conn_kill(struct conn *conn, const char *why);

/* All but KEEP, which may be NULL. */
void conn_kill_all_but(const struct conn *keep, const char *why);

/* hello: in seconds, 0 = none. */
void conn_set_keepalive(struct conn *conn, ev_tstamp interval);
void conn_set_authorized(struct conn *conn);
void conn_set_window(struct conn *conn, uint64_t window); /* 0 = transport mode */

/* Begins a message in the control queue, and ends it; one that does not fit costs the connection. */
void conn_message_begin(struct conn *conn, struct enc *e);
void conn_message_end(struct conn *conn, struct enc *e);
void conn_message_end_soon(struct conn *conn, struct enc *e); /* see conn_flush_soon */

/* dispatch.c: one scanned-to-be message of the peer. */
void dispatch(struct conn *conn, const char *body, size_t len);

#endif
