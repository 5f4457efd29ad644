/*
 * guestd/event.h - what happened in the guest, under a rising seq
 *
 *	struct enc *e = event_begin("process_exited", 3);
 *	enc_kv_text(e, "id", id); ...		three pairs, besides `type` and `seq`
 *	event_end();
 *
 * The last MAX_EVENTS are kept, EVENT_BYTES_MAX of them at most.  Readers have positions of
 * their own and are told what they missed: nothing is queued for them.
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

/*
 * Begins an event of that type with N further pairs, which the caller encodes.  SUBJECT is whom
 * it is about (struct process.number), or 0.
 */
struct enc *event_begin(const char *type, uint64_t subject, size_t n);
void event_end(void);

struct event_reader {
	struct list link; /* readers */
	uint64_t next;    /* the seq to be read next */
	uint64_t subject; /* only what is about it; 0 = everything */
	/* There is an event for it.  Must not read in here. */
	void (*more)(struct event_reader *reader);
};

/* Reads from seq FROM on; 0 = what comes from now on.  The caller filled subject and more. */
void event_reader_start(struct event_reader *reader, uint64_t from);
void event_reader_stop(struct event_reader *reader);

/*
 * The next event: a whole msgpack map, borrowed until the next event_begin; its length, or 0 =
 * none now.  Before it, *LOST are gone unread (of all subjects: nobody knows whom they were
 * about).
 */
size_t event_next(struct event_reader *reader, const char **bytes, uint64_t *lost);

/* Is there one? */
bool event_pending(const struct event_reader *reader);

#endif
