/* tests/unit/test_event.c - guestd/event: seqs, what is kept, and what each reader is told */
#include "guestd/event.h"

#include "proto/limits.h"
#include "proto/scan.h"
#include "tests/unit/unit.h"

#define USER_DATA 60000u

struct reader {
	struct event_reader r;
	unsigned told;
};

static void count(struct event_reader *r)
{
	CONTAINER_OF(r, struct reader, r)->told++;
}

static void start(struct reader *reader, uint64_t subject, uint64_t from)
{
	*reader = (struct reader){.r = {.subject = subject, .more = count}};
	event_reader_start(&reader->r, from);
}

/* The journal lives as long as the program: every test begins where the last one ended. */
static uint64_t emit(uint64_t subject)
{
	uint64_t seq = event_next_seq();

	enc_kv_uint(event_begin(subject ? "user" : "tick", subject, 1), "n", seq);
	event_end();
	assert_int_equal(event_next_seq(), seq + 1);
	return seq;
}

static uint64_t emit_many(uint64_t subject, unsigned n)
{
	while (--n)
		emit(subject);
	return emit(subject);
}

static void emit_data(size_t len)
{
	static const char zeros[EVENT_MAX];

	enc_kv_bin(event_begin("user", 0, 1), "data", zeros, len);
	event_end();
}

static void assert_reads(struct reader *reader, uint64_t seq)
{
	struct event event;

	assert_true(event_pending(&reader->r));
	assert_true(event_next(&reader->r, &event));
	assert_int_equal(event.lost, 0);
	assert_int_equal(event.seq, seq);
	assert_non_null(event.bytes);
}

static void assert_lost(struct reader *reader, uint64_t lost, uint64_t last)
{
	struct event event;

	assert_true(event_pending(&reader->r));
	assert_true(event_next(&reader->r, &event));
	assert_int_equal(event.lost, lost);
	assert_int_equal(event.seq, last);
	assert_null(event.bytes);
}

static void assert_nothing(struct reader *reader)
{
	struct event event;

	assert_false(event_pending(&reader->r));
	assert_false(event_next(&reader->r, &event));
}

static void the_first_has_seq_1(void **state)
{
	struct reader reader;

	(void)state;
	assert_int_equal(event_next_seq(), 1);
	start(&reader, 0, 0);
	assert_nothing(&reader);
	assert_int_equal(emit(0), 1);
	assert_reads(&reader, 1);
	event_reader_stop(&reader.r);
}

static void assert_holds(const struct event *event, const char *text)
{
	assert_non_null(memmem(event->bytes, event->len, text, strlen(text)));
}

static void an_event_is_one_map(void **state)
{
	struct reader reader;
	struct event event;
	struct scan scan;
	char message[256] = "\x91"; /* an array of one */
	struct enc *e;

	(void)state;
	start(&reader, 0, 0);
	e = event_begin("process_exited", 0, 2);
	enc_kv_str(e, "id", "x");
	enc_str(e, "exit");
	enc_map_end(e, enc_map_begin(e), 0);
	event_end();
	assert_true(event_next(&reader.r, &event));
	assert_in_range(event.len, 1, sizeof(message) - 1);
	memcpy(message + 1, event.bytes, event.len);
	assert_int_equal(scan_message(message, event.len + 1, &scan), 0);
	assert_int_equal(scan.n_parts, 1);
	assert_int_equal(event.bytes[2], 5);
	assert_holds(&event, "\xa4type\xaeprocess_exited\xa3seq");
	assert_holds(&event, "\xa7time_us\xcf");
	assert_holds(&event, "\xa2id\xa1x");
	assert_holds(&event, "exit\xde");
	event_reader_stop(&reader.r);
}

static void everybody_reads_everything(void **state)
{
	struct reader a, b;
	uint64_t seq;

	(void)state;
	start(&a, 0, 0);
	start(&b, 0, 0);
	seq = emit_many(0, 2);
	assert_int_equal(a.told, 2);
	assert_reads(&a, seq - 1);
	assert_reads(&a, seq);
	assert_nothing(&a);
	emit(7);
	assert_reads(&a, seq + 1);
	for (uint64_t s = seq - 1; s <= seq + 1; s++)
		assert_reads(&b, s);
	assert_nothing(&b);
	event_reader_stop(&a.r);
	event_reader_stop(&b.r);
	emit(0);
	assert_int_equal(a.told, 3);
}

static void a_subject_gets_its_own_alone(void **state)
{
	struct reader seven, eight;
	uint64_t mine;

	(void)state;
	emit(7);
	start(&seven, 7, 0);
	start(&eight, 8, 0);
	assert_nothing(&seven);
	emit(0);
	emit(8);
	mine = emit(7);
	emit(0);
	assert_int_equal(seven.told, 1);
	assert_reads(&seven, mine);
	assert_nothing(&seven);
	assert_reads(&eight, mine - 1);
	assert_nothing(&eight);
	event_reader_stop(&seven.r);
	event_reader_stop(&eight.r);
}

static void what_was_is_replayed(void **state)
{
	uint64_t last = emit_many(0, 10);
	struct reader reader;

	(void)state;
	start(&reader, 0, last - 2);
	assert_int_equal(reader.told, 0);
	for (uint64_t s = last - 2; s <= last; s++)
		assert_reads(&reader, s);
	assert_nothing(&reader);
	event_reader_stop(&reader.r);
	start(&reader, 0, last + 1);
	assert_nothing(&reader);
	event_reader_stop(&reader.r);
}

static void the_last_max_events_are_kept(void **state)
{
	struct reader early, late;
	uint64_t last;

	(void)state;
	start(&early, 0, 0);
	last = emit_many(0, MAX_EVENTS);
	assert_reads(&early, last - MAX_EVENTS + 1);
	last = emit_many(0, 3);
	assert_lost(&early, 2, last - MAX_EVENTS);
	assert_reads(&early, last - MAX_EVENTS + 1);
	start(&late, 0, 1);
	assert_lost(&late, last - MAX_EVENTS, last - MAX_EVENTS);
	for (uint64_t s = last - MAX_EVENTS + 1; s <= last; s++)
		assert_reads(&late, s);
	assert_nothing(&late);
	event_reader_stop(&early.r);
	event_reader_stop(&late.r);
}

static void more_is_lost_while_a_loss_is_untold(void **state)
{
	struct reader reader;
	uint64_t last;

	(void)state;
	start(&reader, 0, 0);
	emit_many(0, MAX_EVENTS + 5);
	last = emit_many(0, 3 * MAX_EVENTS);
	assert_lost(&reader, 3 * MAX_EVENTS + 5, last - MAX_EVENTS);
	assert_reads(&reader, last - MAX_EVENTS + 1);
	event_reader_stop(&reader.r);
}

/* Other processes' events may come by the thousand: who missed none of its own is told of none. */
static void a_subject_misses_only_its_own(void **state)
{
	struct reader idle, slow;
	uint64_t last;

	(void)state;
	start(&idle, 7, 0);
	start(&slow, 8, 0);
	emit_many(8, 2);
	emit_many(0, MAX_EVENTS - 1);
	last = emit(8);
	assert_nothing(&idle);
	assert_lost(&slow, 2, last - MAX_EVENTS);
	assert_reads(&slow, last);
	assert_nothing(&slow);
	emit_many(9, 2 * MAX_EVENTS);
	assert_nothing(&idle);
	assert_nothing(&slow);
	last = emit(7);
	assert_reads(&idle, last);
	event_reader_stop(&idle.r);
	event_reader_stop(&slow.r);
}

static void memory_is_bounded(void **state)
{
	struct reader reader;
	struct event event;
	size_t bytes = 0;

	(void)state;
	start(&reader, 0, 0);
	for (int i = 0; i < 200; i++)
		emit_data(USER_DATA);
	assert_true(event_next(&reader.r, &event));
	assert_true(event.lost > 0);
	while (event_next(&reader.r, &event)) {
		assert_int_equal(event.lost, 0);
		bytes += event.len;
	}
	assert_in_range(bytes, EVENT_BYTES_MAX - 2 * USER_DATA, EVENT_BYTES_MAX);
	event_reader_stop(&reader.r);
}

static void one_that_is_too_long_is_told_in_its_place(void **state)
{
	struct reader reader;
	uint64_t first;

	(void)state;
	start(&reader, 0, 0);
	first = emit(0);
	emit_data(EVENT_MAX);
	emit(0);
	assert_reads(&reader, first);
	assert_lost(&reader, 1, first + 1);
	assert_reads(&reader, first + 2);
	emit_data(EVENT_MAX);
	emit_many(0, MAX_EVENTS);
	assert_lost(&reader, 1, first + 3);
	assert_reads(&reader, first + 4);
	event_reader_stop(&reader.r);
}

/* Against a model: readers that read, pause, come and go at random see every seq once, or its loss. */
static void every_seq_is_accounted_for(void **state)
{
	struct reader readers[4];
	uint64_t expected[4];
	uint32_t seed = 4711;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(readers); i++) {
		expected[i] = event_next_seq();
		start(&readers[i], 0, 0);
	}
	for (int round = 0; round < 5000; round++) {
		unsigned i = rnd_below(&seed, ARRAY_LEN(readers));
		uint32_t n = rnd_below(&seed, i == 0 ? 2500 : 600);
		struct event event;

		for (uint32_t k = rnd_below(&seed, 64); k; k--)
			emit(rnd_below(&seed, 3));
		while (n-- && event_next(&readers[i].r, &event)) {
			assert_int_equal(event.seq, expected[i] + MAX(event.lost, 1) - 1);
			expected[i] = event.seq + 1;
		}
		assert_int_equal(event_pending(&readers[i].r), expected[i] != event_next_seq());
		if (rnd_below(&seed, 50) == 0) {
			event_reader_stop(&readers[i].r);
			start(&readers[i], 0, expected[i]);
		}
	}
	for (unsigned i = 0; i < ARRAY_LEN(readers); i++)
		event_reader_stop(&readers[i].r);
}

static struct {
	struct event_tap tap;
	unsigned came, left, made;
} tapped;

static void on_audience(struct event_tap *tap, bool any)
{
	assert_ptr_equal(tap, &tapped.tap);
	tapped.came += any;
	tapped.left += !any;
}

static void on_made(struct event_tap *tap, const char *type)
{
	assert_ptr_equal(tap, &tapped.tap);
	assert_string_equal(type, "tick");
	tapped.made++;
}

/* It stays: so this is the last test. */
static void a_tap_hears_of_readers_and_events(void **state)
{
	struct reader first, second, other;

	(void)state;
	tapped.tap = (struct event_tap){.audience = on_audience, .made = on_made};
	event_tap_start(&tapped.tap);
	start(&other, 7, 0); /* of one subject */
	assert_int_equal(tapped.came, 0);
	emit(0);
	assert_int_equal(tapped.made, 1);
	start(&first, 0, 0);
	start(&second, 0, 0);
	assert_int_equal(tapped.came, 1);
	event_reader_stop(&first.r);
	event_reader_stop(&other.r);
	assert_int_equal(tapped.left, 0);
	event_reader_stop(&second.r);
	assert_int_equal(tapped.left, 1);
	start(&first, 0, 0);
	event_reader_stop(&first.r);
	assert_int_equal(tapped.came, 2);
	assert_int_equal(tapped.left, 2);
	assert_int_equal(tapped.made, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_has_seq_1),
		cmocka_unit_test(an_event_is_one_map),
		cmocka_unit_test(everybody_reads_everything),
		cmocka_unit_test(a_subject_gets_its_own_alone),
		cmocka_unit_test(what_was_is_replayed),
		cmocka_unit_test(the_last_max_events_are_kept),
		cmocka_unit_test(more_is_lost_while_a_loss_is_untold),
		cmocka_unit_test(a_subject_misses_only_its_own),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(one_that_is_too_long_is_told_in_its_place),
		cmocka_unit_test(every_seq_is_accounted_for),
		cmocka_unit_test(a_tap_hears_of_readers_and_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
