/*
 * ctl/client.h - a connection to an agent, with many calls in flight
 *
 * One descriptor, one thread.  Requests are encoded straight into the output queue; messages
 * come back one at a time, and data is handed out where recv(2) put it.
 *
 *	struct enc *e = client_begin(c, "fs.stat", &id);
 *	enc_map_begin(e), ...                         // exactly one value: the parameters
 *	if (client_send(c) == 0 && client_response(c, id, 5000, &msg) == 0)
 *		... msg.error, or else msg.result
 *
 * What is sent is queued and leaves with the next client_next or client_flush: many small
 * requests share one write.  Nothing but a client_next that was told to wait ever waits, so an
 * upload and a download of one connection cannot block one another.
 *
 * A connection starts in transport mode: no credits, the sockets' buffers hold back whoever is
 * too fast.  client_hello with a window turns on credit mode; what was handed out is then
 * granted again by itself, once the caller asks for the message behind it.
 *
 * Functions that can fail return 0 (or a stated positive value), or -errno; client_why() then has
 * a sentence.  After -ECONNRESET, -EPIPE or -EBADMSG the connection is of no more use.
 *
 * Built from ctl/client*.c.  Owner: whoever called client_connect.  Thread: one at a time.
 */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "proto/enc.h"
#include "proto/limits.h"
#include "proto/val.h"

/* Unsent bytes from which on client_room() is 0: so few that most data is never copied. */
#define CLIENT_OUT_HIGH MAX_DATA

struct client;

/* What came in.  Everything pointed at is borrowed, until the next client_next. */
struct client_msg {
	enum msg_type type;       /* response, notification, data, end, event or credit */
	uint32_t id;              /* the call; 0 for a notification */
	unsigned channel;         /* data, end */
	const char *data;         /* data */
	size_t len;               /* data: bytes at `data` */
	uint32_t credit;          /* credit: bytes more, already counted in client_room */
	const struct val *error;  /* response: a map, or NULL for success */
	const struct val *result; /* response: NULL when there is an error */
	const struct val *event;  /* event: a map with `type` */
	const char *name;         /* notification */
	const struct val *params; /* notification */
};

/*
 * Connects to ENDPOINT (vsock:CID:PORT, unix:PATH, uds:PATH:PORT); nothing is sent yet.  0 with
 * *OUT for client_close; -EINVAL for what is no endpoint to dial, another -errno when it cannot
 * be reached; then WHY (of WHY_LEN bytes) holds a sentence.  TIMEOUT_MS bounds the hybrid
 * handshake of uds:.
 */
MUST_CHECK int client_connect(
	const char *endpoint, int timeout_ms, struct client **out, char *why, size_t why_len);

/* The same with a connected stream socket.  Consumes FD. */
struct client *client_new(int fd);

/* Drops what was not sent; the agent cancels the open calls.  NULL is fine. */
void client_close(struct client *c);

/* For poll(2): the descriptor, which stays the client's, and the events to wait for. */
int client_fd(const struct client *c);
short client_events(const struct client *c);

/* Why the last function failed.  Never NULL; lives until the next call that fails. */
const char *client_why(const struct client *c);

struct client_hello {
	const char *name;  /* told to the agent: "guestctl" */
	const void *token; /* NULL: none */
	size_t token_len;
	uint32_t window; /* bytes that may be on their way to us in each call; 0: transport mode */
};

/*
 * Sends hello and waits for its response.  To be called before any other request.  0: the response
 * is in *MSG, and may be an error (`unauthorized`); -ETIMEDOUT or another -errno otherwise.
 */
MUST_CHECK int client_hello(
	struct client *c, const struct client_hello *hello, int timeout_ms, struct client_msg *msg);

/*
 * Begins a request.  The caller encodes exactly one value, the parameters, into the encoder, which
 * is the client's, and ends with client_send; nothing else may be sent in between.  *ID (never
 * 0) names the call from then on.  Never NULL: what fails is told by client_send.
 */
struct enc *client_begin(struct client *c, const char *method, uint32_t *id);

/*
 * Queues the request begun.  0; -EMSGSIZE: longer than the agent's max_frame; -ENOBUFS: too much
 * is unsent, call client_next first; -EMFILE: MAX_CALLS are open.  On failure nothing was sent and
 * no call is open.
 */
MUST_CHECK int client_send(struct client *c);

/* A request with no parameters: client_begin and client_send in one. */
MUST_CHECK int client_request(struct client *c, const char *method, uint32_t *id);

/*
 * Data bytes that client_data takes for call ID now: the agent's credit, bounded by the output
 * queue.  0: wait with client_next (it returns when either grows).  0 too when ID is not open.
 */
size_t client_room(const struct client *c, uint32_t id);

/*
 * Sends LEN <= client_room() bytes, split into data messages and not copied where the socket
 * takes them at once.  What is for a call that is over is dropped.  0 or -ENOBUFS.
 */
MUST_CHECK int client_data(
	struct client *c, uint32_t id, unsigned channel, const void *bytes, size_t len);

/* The end of our data on CHANNEL; the wish that call ID stops.  0 or -ENOBUFS. */
MUST_CHECK int client_end(struct client *c, uint32_t id, unsigned channel);
MUST_CHECK int client_cancel(struct client *c, uint32_t id);

/* Lets the agent send N more bytes in call ID; needed after client_manual_credit alone. */
MUST_CHECK int client_credit(struct client *c, uint32_t id, uint32_t n);

/* From now on nothing is granted by itself in call ID. */
void client_manual_credit(struct client *c, uint32_t id);

/* A keepalive for the agent.  0 or -ENOBUFS. */
MUST_CHECK int client_keepalive(struct client *c);

/*
 * The next message, after at most TIMEOUT_MS (0: does not wait; negative: no limit).  Writes what
 * is queued while it waits.  1: *MSG; a response closes its call.  0: nothing came in time, or a
 * full output queue has room again.  -ECONNRESET: the agent closed the connection (client_why
 * has its goodbye); -EBADMSG: it broke the protocol; or another -errno.
 */
MUST_CHECK int client_next(struct client *c, int timeout_ms, struct client_msg *msg);

/*
 * Waits for the response of call ID and drops all other messages.  0: *MSG, which may hold an
 * error; -ETIMEDOUT, or as client_next.
 */
MUST_CHECK int client_response(
	struct client *c, uint32_t id, int timeout_ms, struct client_msg *msg);

/* Writes what the socket takes now, without waiting.  0 or -errno. */
MUST_CHECK int client_flush(struct client *c);

/* Bytes queued and not yet taken by the socket. */
size_t client_unsent(const struct client *c);

/* Calls that have no response yet. */
unsigned client_open_calls(const struct client *c);

#endif
