/*
 * guestd/req.h - one call, from its request to its one response
 *
 *	dispatch -> method->call -> req_reply_begin ... req_reply_end | req_fail
 *	                      \---> chan_open ... later one of them
 *
 * Exactly one of them ends a request, and frees it with its parameters.  A response
 * that may be large is asked for when the connection has room: req_reply_later.
 *
 * Owner: its connection, while that lives; the stream's owner hears of its end (chan.h).
 * Thread: loop.
 */
#ifndef GUESTD_REQ_H
#define GUESTD_REQ_H

#include <stdint.h>

#include "base/list.h"
#include "base/mem.h"
#include "guestd/chan.h"
#include "guestd/method.h"
#include "proto/enc.h"
#include "proto/err.h"

struct conn;

struct req {
	struct list link; /* conn.reqs */
	struct req *next; /* conn.by_id */
	struct conn *conn;
	uint32_t id;
	const struct method *method;
	struct arena *params; /* what the parameters were decoded into; NULL when taken */
	void *args;           /* the method's struct, in there */
	struct chan chan;
	struct list reply_link; /* conn.replies */
	void (*reply_fn)(struct req *req);
};

/* NULL where no call of that id is open. */
struct req *req_find(struct conn *conn, uint32_t id);

/* Begins [1, id, nil, ...: the caller encodes the result, one value, then ends it. */
void req_reply_begin(struct req *req, struct enc *e);
/* Frees REQ.  A result longer than max_frame becomes the error `limit`. */
void req_reply_end(struct req *req, struct enc *e);

/* 0, with REQ freed; or an error, and nothing has happened: try again with a shorter result. */
MUST_CHECK int req_try_reply_end(struct req *req, struct enc *e);

/* Answers with an error.  Frees REQ. */
void req_fail(struct req *req, int err, const char *fmt, ...) PRINTF(3, 4);
void req_fail_with(struct req *req, const struct failure *f);

/* Calls FN, which must end REQ, once the connection has room for a large response. */
void req_reply_later(struct req *req, void (*fn)(struct req *req));

/*
 * The parameters outlive the request: the caller owns the arena that they lie in, and gives it
 * back with params_free.  It stays counted in the memory of all parameters.
 */
struct arena *req_take_params(struct req *req);
void params_free(struct arena *params);

/* An arena of LEN that is counted with them, for what the agent asks of itself.  NULL: no memory. */
struct arena *params_new(size_t len);

/* For conn.c and dispatch.c. */
/* NULL when LIMIT, then named, is reached. */
struct req *req_new(struct conn *conn, uint32_t id, const struct method *m, size_t params_len,
	const char **limit);
void req_drop(struct req *req); /* the connection is gone: no response */
void respond_error(struct conn *conn, uint32_t id, const struct failure *f);

#endif
