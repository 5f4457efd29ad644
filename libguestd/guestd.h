/*
 * guestd.h - libguestd: a connection to an agent, with many calls in flight
 *
 *	struct guestd *g = guestd_connect("unix:/run/guestd/agent.sock", NULL, why, sizeof(why));
 *
 *	guestd_begin(g, "proc.run");
 *	guestd_put_str(g, "cmd", "uname -a");
 *	if (guestd_call(g, 5000, &message) == 0 && !message.error)
 *		... guestd_get(message.result, "stdout")
 *
 * Methods, parameters and results are those of docs/protocol.md.  Streams are calls, too:
 * guestd_send begins one, guestd_next hands out what comes for all calls that are open, and the
 * response is the last of each.  Sizes are bytes, times milliseconds.
 *
 * What is sent is queued, and leaves with the next guestd_next, guestd_call, guestd_response or
 * guestd_flush; only those that are given a time wait.  Nothing reconnects by itself: a process
 * lives on, and proc.attach goes on at the byte where the connection ended.
 *
 * Functions that can fail return 0, or -errno, and guestd_why() has a sentence then.  After
 * -ECONNRESET, -EPIPE or -EBADMSG the connection is of no more use.  Without memory, or called
 * against what stands here, the library says so on stderr and aborts, as the agent does.
 *
 * Thread: a connection belongs to one at a time; different ones know nothing of each other.
 * Signals: none are sent, handled or blocked.
 */
#ifndef GUESTD_H
#define GUESTD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct guestd;       /* a connection; owned by who connected */
struct guestd_value; /* a value in a message; lives as long as that */

enum guestd_type {
	GUESTD_RESPONSE = 1,     /* the end of a call: `error` or `result` */
	GUESTD_NOTIFICATION = 2, /* `name` and `params`; of no call */
	GUESTD_DATA = 3,         /* bytes on `channel` */
	GUESTD_END = 4,          /* no more bytes on `channel` */
	GUESTD_EVENT = 5,        /* `event`, a map with "type" */
	GUESTD_CREDIT = 6,       /* guestd_room has grown */
};

/* Channels: to the call, from it, and its errors. */
enum { GUESTD_IN = 0, GUESTD_OUT = 1, GUESTD_ERR = 2 };

/* What came.  All that is pointed at is the library's, until the next call that may receive. */
struct guestd_message {
	enum guestd_type type;
	uint32_t id; /* of the call */
	unsigned channel;
	const char *data;
	size_t len;                        /* bytes at `data` */
	const struct guestd_value *error;  /* a map; NULL: it succeeded */
	const struct guestd_value *result; /* NULL where there is an error */
	const struct guestd_value *event;
	const char *name;
	const struct guestd_value *params;
};

/* All 0 is the default; what is pointed at is borrowed for the call. */
struct guestd_options {
	const char *name;  /* told to the agent; "libguestd" */
	const void *token; /* where the agent wants one */
	size_t token_len;
	uint32_t window; /* bytes of each call that may be on their way to us; 1 MiB */
	int timeout_ms;  /* for connecting and for the answer to hello; 10000 */
};

/*
 * Connects to ENDPOINT (unix:PATH, uds:PATH:PORT, vsock:CID:PORT, serial:PATH) and says hello.
 * The caller owns the connection.  NULL on failure: errno, and a sentence in WHY; EACCES where
 * the agent wants another token.  OPTIONS may be NULL.
 */
struct guestd *guestd_connect(
	const char *endpoint, const struct guestd_options *options, char *why, size_t why_len);

/* Frees it.  The agent cancels what is open.  NULL is fine. */
void guestd_close(struct guestd *g);

/* Why the last function failed.  Never NULL; lives until the next one that fails. */
const char *guestd_why(const struct guestd *g);

/* Another text whenever the agent was started anew: it knows nothing of earlier processes. */
const char *guestd_instance(const struct guestd *g);

/* For poll(2): the descriptor, which stays the library's, and the events to wait for. */
int guestd_fd(const struct guestd *g);
short guestd_events(const struct guestd *g);

/*
 * A request: guestd_begin, its parameters, then guestd_send or guestd_call, and nothing else of
 * this connection in between.  Strings are copied.  A KEY belongs to each element of a map, NULL
 * to those of an array.  What is wrong with the parameters is told by guestd_send.
 */
void guestd_begin(struct guestd *g, const char *method);
void guestd_put_nil(struct guestd *g, const char *key);
void guestd_put_bool(struct guestd *g, const char *key, bool value);
void guestd_put_int(struct guestd *g, const char *key, int64_t value);
void guestd_put_str(struct guestd *g, const char *key, const char *value);
void guestd_put_bytes(struct guestd *g, const char *key, const void *bytes, size_t len);
void guestd_put_map(struct guestd *g, const char *key);
void guestd_put_array(struct guestd *g, const char *key);
void guestd_put_end(struct guestd *g); /* of the innermost map or array */

/*
 * Queues the request.  0, and *ID names the call from then on; -EINVAL: a map or array that was
 * not ended, a key too few or too many; -EMSGSIZE: longer than the agent takes; -ENOBUFS: too much is
 * unsent, ask guestd_next first; -EMFILE: 1024 calls are open.  On failure there is no call.
 */
int guestd_send(struct guestd *g, uint32_t *id);

/* guestd_send and guestd_response in one. */
int guestd_call(struct guestd *g, int timeout_ms, struct guestd_message *message);

/*
 * Waits for the response of call ID, and drops all else that comes, of other calls, too.  0:
 * *MESSAGE, which may hold an error; -ETIMEDOUT: the call goes on; or as guestd_next.
 */
int guestd_response(struct guestd *g, uint32_t id, int timeout_ms, struct guestd_message *message);

/*
 * The next message, after at most TIMEOUT_MS (0: without waiting, negative: no limit).  1:
 * *MESSAGE; data counts as used up, and is granted again, with the next call.  0: none came, or
 * guestd_room may have grown.  -ECONNRESET: the agent ended the connection; -EBADMSG: it broke the
 * protocol; or another -errno.
 */
int guestd_next(struct guestd *g, int timeout_ms, struct guestd_message *message);

/* Bytes that guestd_data takes for call ID now.  0: ask guestd_next; or the call is over. */
size_t guestd_room(const struct guestd *g, uint32_t id);

/* Sends LEN <= guestd_room() bytes, which are not kept.  0, -EAGAIN: more than that; -errno. */
int guestd_data(struct guestd *g, uint32_t id, const void *bytes, size_t len);

/* No more input for call ID. */
int guestd_end(struct guestd *g, uint32_t id);

/* The agent is to stop call ID; its response still comes. */
int guestd_cancel(struct guestd *g, uint32_t id);

/* Sends what the socket takes now. */
int guestd_flush(struct guestd *g);

/*
 * Values.  NULL stands for nil and for what is not there: guestd_get(NULL, "x") is NULL.  The
 * functions with an OUT are false, and leave it, where the value is of another type.
 */
const struct guestd_value *guestd_get(const struct guestd_value *map, const char *key);
const struct guestd_value *guestd_at(const struct guestd_value *array, size_t i);
size_t guestd_count(const struct guestd_value *value); /* elements of an array, pairs of a map */
const struct guestd_value *guestd_key_at(const struct guestd_value *map, size_t i);
const struct guestd_value *guestd_value_at(const struct guestd_value *map, size_t i);
bool guestd_is_nil(const struct guestd_value *value);
bool guestd_bool(const struct guestd_value *value, bool *out);
bool guestd_int(const struct guestd_value *value, int64_t *out);
bool guestd_float(const struct guestd_value *value, double *out);
/* Text and bytes alike; no NUL stands behind them. */
bool guestd_bytes(const struct guestd_value *value, const char **out, size_t *len);
/* Is it this text? */
bool guestd_is(const struct guestd_value *value, const char *text);

#ifdef __cplusplus
}
#endif

#endif
