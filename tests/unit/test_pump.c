/* tests/unit/test_pump.c - sources and sinks over real pipes */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "guestd/loop.h"
#include "guestd/pump.h"
#include "tests/unit/unit.h"

static struct ring_budget budget = {.max = 1 << 20};
static uint64_t reader; /* the floor */
static unsigned n_more;
static size_t n_consumed;

static uint64_t floor_of(struct source *s)
{
	(void)s;
	return reader;
}

static void more(struct source *s)
{
	(void)s;
	n_more++;
}

static void consumed(struct sink *s, size_t len)
{
	(void)s;
	n_consumed += len;
}

static void make_pipe(int fds[2])
{
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
}

/* Whatever is ready now; the pipes are local, so what was written is. */
static void turn(void)
{
	ev_run(loop_ev(), EVRUN_NOWAIT);
}

static void test_source_stops_at_its_floor(void **state)
{
	char block[8192];
	struct source s;
	const char *bytes;
	int fds[2];

	(void)state;
	memset(block, 'x', sizeof(block));
	make_pipe(fds);
	reader = 0;
	source_init(&s, RING_MIN, &budget, floor_of, more);
	source_start(&s, fds[0], false);
	assert_int_equal(write(fds[1], block, sizeof(block)), sizeof(block));
	for (int i = 0; i < 10; i++)
		turn();
	assert_int_equal(s.ring.head, RING_MIN); /* full up to the reader: the rest waits */
	assert_int_equal(s.ring.tail, 0);
	reader = 100;
	source_resume(&s);
	for (int i = 0; i < 10; i++)
		turn();
	assert_int_equal(s.ring.head, RING_MIN + 100);
	assert_int_equal(ring_peek(&s.ring, 100, &bytes), RING_MIN - 100);
	reader = UINT64_MAX; /* nobody reads: the oldest go */
	source_resume(&s);
	for (int i = 0; i < 10; i++)
		turn();
	assert_int_equal(s.ring.head, sizeof(block));
	assert_int_equal(s.ring.tail, sizeof(block) - RING_MIN);
	assert_false(s.eof);
	fd_close(&fds[1]);
	turn();
	assert_true(s.eof);
	source_fini(&s);
	assert_int_equal(budget.used, 0);
}

static void test_sink_keeps_what_the_reader_does_not_take(void **state)
{
	static char block[200000];
	struct sink s;
	size_t taken = 0, gone;
	int fds[2];

	(void)state;
	n_consumed = 0;
	make_pipe(fds);
	sink_init(&s, sizeof(block), consumed);
	assert_int_equal(sink_write(&s, "early", 5), 0); /* queued: there is no descriptor yet */
	sink_start(&s, fds[1]);
	turn();
	assert_int_equal(n_consumed, 5);
	gone = (size_t)sink_write(&s, block, sizeof(block));
	assert_true(gone > 0 && gone < sizeof(block));
	assert_int_equal(sink_write(&s, block, sizeof(block)), -ENOBUFS);
	sink_end(&s);
	for (int i = 0; i < 100; i++) {
		char part[65536];
		ssize_t n = read(fds[0], part, sizeof(part));

		if (n == 0)
			break;
		taken += n > 0 ? (size_t)n : 0;
		turn();
	}
	assert_int_equal(taken, 5 + sizeof(block));
	assert_int_equal(n_consumed, 5 + sizeof(block) - gone);
	sink_fini(&s);
	fd_close(&fds[0]);
}

static void test_sink_drops_when_nobody_reads(void **state)
{
	struct sink s;
	int fds[2];

	(void)state;
	make_pipe(fds);
	sink_init(&s, 100, consumed);
	sink_start(&s, fds[1]);
	fd_close(&fds[0]);
	assert_int_equal(sink_write(&s, "x", 1), 1);
	assert_true(s.broken);
	assert_int_equal(sink_write(&s, "more", 4), 4);
	sink_fini(&s);
}

static int set_up(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	return loop_init();
}

static int tear_down(void **state)
{
	(void)state;
	loop_fini();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_source_stops_at_its_floor),
		cmocka_unit_test(test_sink_keeps_what_the_reader_does_not_take),
		cmocka_unit_test(test_sink_drops_when_nobody_reads),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
