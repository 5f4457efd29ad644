/*
 * vsock/bridge.h - a serial line on one side, a stream socket on the other
 *
 * Both ends of a connection know stream framing alone (proto/frame.h).  Where the line between
 * them is serial, each has a bridge before it: it turns the messages of the line into frames of
 * the stream and back, and drops what is none.
 *
 *	line -> messages -> up -> stream        stream -> frames -> down -> line
 *
 * No event loop here: bridge_line_events and bridge_stream_events say what to wait for, and the
 * descriptors are non-blocking.  A side that is not taken holds back the other: each queue holds
 * what one read made, and a message.  Thread: one at a time.
 */
#ifndef VSOCK_BRIDGE_H
#define VSOCK_BRIDGE_H

#include "base/buf.h"
#include "base/check.h"
#include "proto/frame.h"
#include "proto/serial.h"

struct bridge {
	int line;   /* borrowed */
	int stream; /* borrowed; -1: there is none (yet) */
	/* Before a message of the line goes up, it may put another stream into its place. */
	void (*message)(struct bridge *b, const char *message, size_t len);

	struct serial_reader reader;
	struct frame_reader frames;
	struct buf up, down;
};

void bridge_init(struct bridge *b, int line, int stream);
void bridge_fini(struct bridge *b);

/* Another stream, or none: what belonged to the last one is dropped. */
void bridge_set_stream(struct bridge *b, int stream);

/* Another line, or the same one after it was hung up. */
void bridge_set_line(struct bridge *b, int line);

/* POLLIN and POLLOUT to wait for; 0: nothing now. */
short bridge_line_events(const struct bridge *b);
short bridge_stream_events(const struct bridge *b);

/*
 * What came, and what goes.  0, or -errno when that side is of no use any more: -EPIPE at its end.
 * A stream that broke framing is -EPROTO.
 */
MUST_CHECK int bridge_line_in(struct bridge *b);
MUST_CHECK int bridge_line_out(struct bridge *b);
MUST_CHECK int bridge_stream_in(struct bridge *b);
MUST_CHECK int bridge_stream_out(struct bridge *b);

#endif
