/*
 * guestd/event.c - what happened in the guest, under a rising seq
 *
 * Seqs have no holes, so the event of a seq lies at that seq modulo MAX_EVENTS.  Every reader has a
 * count of what is kept for it and unread: asking whether there is something costs nothing, and
 * what is forgotten is missed by those alone who had yet to read it.
 */
#include "guestd/event.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "proto/limits.h"

struct kept {
	uint64_t subject;
	size_t len;
	char *bytes; /* NULL: it could not be kept, and is lost to whoever gets here */
};

static struct kept kept[MAX_EVENTS];

static struct {
	uint64_t first, next; /* kept are those of [first, next) */
	size_t bytes;         /* of all of them */
	/* Two lists: most events have no subject, and most readers do. */
	struct list everything, subjects;
	struct list taps;

	/* the one that is being made */
	bool open;
	uint64_t subject;
	struct buf buf;
	struct enc enc;
} journal = {
	.first = 1,
	.next = 1,
	.everything = {&journal.everything, &journal.everything},
	.subjects = {&journal.subjects, &journal.subjects},
	.taps = {&journal.taps, &journal.taps},
	.buf = {.max = EVENT_MAX},
};

static struct kept *kept_at(uint64_t seq)
{
	return &kept[seq % MAX_EVENTS];
}

static bool is_for(const struct event_reader *reader, const struct kept *k)
{
	return !reader->subject || reader->subject == k->subject;
}

/* Calls FN for every reader that K is for. */
static void each_reader(const struct kept *k, void (*fn)(struct event_reader *reader))
{
	list_each(link, &journal.everything)
		fn(CONTAINER_OF(link, struct event_reader, link));
	if (!k->subject)
		return;
	list_each(link, &journal.subjects) {
		struct event_reader *reader = CONTAINER_OF(link, struct event_reader, link);

		if (is_for(reader, k))
			fn(reader);
	}
}

static void miss_first(struct event_reader *reader)
{
	if (reader->next > journal.first)
		return;
	reader->pending--;
	reader->lost++;
	reader->lost_seq = journal.first;
}

static void forget_first(void)
{
	struct kept *k = kept_at(journal.first);

	each_reader(k, miss_first);
	journal.bytes -= k->len;
	free(k->bytes);
	*k = (struct kept){0};
	journal.first++;
}

static void announce(struct event_reader *reader)
{
	reader->pending++;
	reader->more(reader);
}

struct enc *event_begin(const char *type, uint64_t subject, size_t n)
{
	struct enc *e = &journal.enc;

	ASSERT(!journal.open);
	journal.open = true;
	journal.subject = subject;
	*e = (struct enc){.buf = &journal.buf};
	enc_map_end(e, enc_map_begin(e), n + 3);
	list_each(link, &journal.taps) {
		struct event_tap *tap = CONTAINER_OF(link, struct event_tap, link);

		tap->made(tap, type);
	}
	enc_kv_str(e, "type", type);
	enc_kv_uint(e, "seq", journal.next);
	enc_kv_uint(e, "time_us", clock_real_us());
	return e;
}

void event_end(void)
{
	struct kept k = {.subject = journal.subject};
	size_t len = buf_len(&journal.buf);

	ASSERT(journal.open);
	journal.open = false;
	if (!journal.enc.failed)
		k.bytes = malloc(len);
	if (k.bytes) {
		memcpy(k.bytes, buf_bytes(&journal.buf), len);
		k.len = len;
	} else {
		log_limited(LOG_WARN, "event", "lost one that is too long or finds no memory");
	}
	buf_consume(&journal.buf, len);
	while (journal.next - journal.first == MAX_EVENTS ||
		journal.bytes > EVENT_BYTES_MAX - k.len)
		forget_first();
	*kept_at(journal.next++) = k;
	journal.bytes += k.len;
	each_reader(&k, announce);
}

uint64_t event_next_seq(void)
{
	return journal.next;
}

static void tell_audience(void)
{
	list_each(link, &journal.taps) {
		struct event_tap *tap = CONTAINER_OF(link, struct event_tap, link);

		tap->audience(tap, !list_empty(&journal.everything));
	}
}

void event_tap_start(struct event_tap *tap)
{
	list_add_tail(&journal.taps, &tap->link);
}

void event_reader_start(struct event_reader *reader, uint64_t from)
{
	bool first = !reader->subject && list_empty(&journal.everything);

	reader->next = from ? from : journal.next;
	ASSERT(reader->next <= journal.next);
	/* Whom the forgotten ones were about, nobody knows. */
	ASSERT(!reader->subject || reader->next == journal.next);
	reader->pending = journal.next - MAX(reader->next, journal.first);
	reader->lost = journal.first - MIN(reader->next, journal.first);
	reader->lost_seq = journal.first - 1;
	list_add_tail(reader->subject ? &journal.subjects : &journal.everything, &reader->link);
	if (first)
		tell_audience();
}

void event_reader_stop(struct event_reader *reader)
{
	list_del(&reader->link);
	if (!reader->subject && list_empty(&journal.everything))
		tell_audience();
}

bool event_pending(const struct event_reader *reader)
{
	return reader->pending || reader->lost;
}

bool event_next(struct event_reader *reader, struct event *out)
{
	const struct kept *k;

	if (reader->lost) {
		*out = (struct event){.seq = reader->lost_seq, .lost = reader->lost};
		reader->lost = 0;
		return true;
	}
	if (!reader->pending)
		return false;
	reader->next = MAX(reader->next, journal.first);
	do {
		k = kept_at(reader->next++);
	} while (!is_for(reader, k));
	reader->pending--;
	*out = (struct event){
		.seq = reader->next - 1,
		.bytes = k->bytes,
		.len = k->len,
		.lost = k->bytes == NULL,
	};
	return true;
}
