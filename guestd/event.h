/*
 * guestd/event.h - what happened in the guest, under a rising seq
 *
 *	struct enc *e = event_begin("process_started", 0, 2);
 *	enc_kv_text(e, "id", id);		two pairs, besides type, seq, time_us
 *	enc_kv_int(e, "pid", pid);
 *	event_end();
 *
 * The last MAX_EVENTS are kept, EVENT_BYTES_MAX of them at most, oldest forgotten first.  Nothing
 * is queued for a reader: it has a position, and is told how many it missed.
 *
 * Two kinds of readers: those of everything (system.events), and those of a subject, the attached
 * calls of one process: they get only the events that name it in event_begin, which are those of
 * type "user".
 *
 * Owner: the agent.  Thread: loop.
 */
#ifndef GUESTD_EVENT_H
#define GUESTD_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "proto/enc.h"

struct req;

/*
 * Begins an event of TYPE with N further pairs, which the caller encodes before event_end; never
 * NULL.  SUBJECT: the process (struct process.number) whose attached calls get it as well; 0 =
 * it goes to readers of everything only, as process_started and process_exited do.
 *
 * One that gets longer than EVENT_MAX is lost, and told as such to those who would have read it.
 */
struct enc *event_begin(const char *type, uint64_t subject, size_t n);
void event_end(void);

/* The seq that the next event will have; the first one has 1. */
uint64_t event_next_seq(void);

struct event_reader {
	/* in */
	uint64_t subject; /* only what names it; 0 = everything */
	/*
	 * There is an event for it, from event_end: must not read, start or stop a reader in
	 * here.  chan_events_ready is what it is for.
	 */
	void (*more)(struct event_reader *reader);

	/* private */
	struct list link;
	uint64_t next;     /* it is past all that have a lower seq */
	uint64_t pending;  /* kept for it, and not read yet */
	uint64_t lost;     /* forgotten before it read them, and not told yet */
	uint64_t lost_seq; /* of the last one of those */
};

/*
 * Reads from seq FROM on; 0 = what comes from now on.  The caller filled in `subject` and `more`,
 * which is not called for what is there already: see event_pending.
 */
void event_reader_start(struct event_reader *reader, uint64_t from);
void event_reader_stop(struct event_reader *reader);

/* Is there something to read, be it only that something was lost? */
bool event_pending(const struct event_reader *reader);

/* What event_next found. */
struct event {
	uint64_t seq;
	const char *bytes; /* a whole msgpack map, borrowed until the next event_end; or NULL */
	size_t len;
	uint64_t lost; /* it stands for so many that are gone unread; then bytes is NULL */
};

/* The next one; false = none now.  With OUT->lost, seq is that of the last one that is gone. */
bool event_next(struct event_reader *reader, struct event *out);

/*
 * For chan_ops.events: sends what READER has to REQ's client, EVENT_BATCH bytes at most, and
 * `{type: "gap", lost, seq}` for what was lost or is longer than the client's max_frame.  True when
 * there is more.
 */
bool event_send(struct event_reader *reader, struct req *req);

/*
 * Whoever makes events of what costs something to find out: it need not look while nobody reads.
 * Both are called from inside of what they tell of, and must not make, read, start or stop anything.
 */
struct event_tap {
	struct list link;
	/* The first reader of everything has come, or the last one has gone. */
	void (*audience)(struct event_tap *tap, bool any);
	/* An event of TYPE was made, by whomever. */
	void (*made)(struct event_tap *tap, const char *type);
};

/* TAP stays until the agent ends. */
void event_tap_start(struct event_tap *tap);

#endif
