/*
 * ctl/relay.h - a whole call between the agent and our own descriptors
 *
 * Connects where that was not done, sends the request and runs the call to its response: what comes goes to a callback,
 * a descriptor feeds channel 0 as far as the agent gives credit.  The first SIGINT, SIGTERM or
 * SIGHUP cancels the call, or leaves it; the second ends us, in whatever we are blocked.  A
 * terminal that was set raw meanwhile is given back in all of these cases.
 *
 * Thread: main, one relay at a time (signal handlers have no context).
 */
#ifndef CTL_RELAY_H
#define CTL_RELAY_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "ctl/command.h"
#include "ctl/target.h"
#include "ctl/terminal.h"

struct relay {
	/* in */
	const char *method;
	void (*params)(void *ctx, struct enc *e); /* encodes the parameters: one value */
	/*
	 * Each data, end and event of the call; NULL: they are dropped.  0, or -errno when it
	 * has nowhere to go any more: then the call is canceled and the rest dropped.
	 * -ECANCELED: it does not want any more, and says why by itself.
	 */
	int (*take)(void *ctx, const struct client_msg *msg);
	/* Our terminal has another size.  NULL: it does not matter. */
	void (*resized)(void *ctx);
	void *ctx;
	int in_fd; /* to channel 0, with its end; -1: none.  Stays the caller's; take may set it */
	struct target *target; /* what params encodes, tried in its turns; NULL: none */
	struct escape escape;  /* of what a raw terminal feeds: leaves the call */
	const char *except;    /* an error that is an answer: 0 and no result.  NULL: none is */
	bool leave;            /* the first signal leaves the call instead of canceling it */
	bool returns;          /* a lost connection is not told of: the caller comes back */

	/* out */
	bool left; /* without the call's end: we only went away */

	/* private */
	struct client *client;
	uint32_t id;
	int take_err, in_err; /* -errno that ended our output and our input */
	int signal;           /* that canceled the call, or 0 */
	bool lost;            /* the connection was, and RETURNS kept that quiet */
};

/*
 * 0 with the result, which lives as long as the connection is not used (NULL where the call was
 * left or answered with the error EXCEPT); or an exit status, with the reason on stderr: 128 and the signal's number, too, for a call
 * that a signal canceled and, as SIGPIPE would have it, when nobody reads our output.
 */
MUST_CHECK int relay_run(struct ctl *ctl, struct relay *r, const struct val **result);

/* Bytes of output that may be on their way in a call: what a fast network holds in a round trip. */
#define RELAY_WINDOW (1u << 20)

/* All of it, also to a descriptor that somebody made non-blocking.  0 or -errno. */
MUST_CHECK int relay_write(int fd, const char *bytes, size_t len);

#endif
