/* tests/unit/test_ring.c - base/ring: the last bytes, under their offsets, within the budget */
#include "base/ring.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

#define NO_FLOOR UINT64_MAX

/* Byte number OFFSET of the stream that all tests write. */
static char byte_at(uint64_t offset)
{
	return (char)((offset * 2654435761u) >> 13);
}

/* Writes up to LEN bytes, as far as there is room; how many. */
static size_t put(struct ring *r, uint64_t floor, size_t len)
{
	uint64_t head = r->head;
	struct iovec iov[2];
	size_t room = ring_prepare(r, floor, iov), n = 0;

	assert_int_equal(iov[0].iov_len + iov[1].iov_len, room);
	len = MIN(len, room);
	for (int i = 0; i < 2; i++) {
		for (size_t k = 0; k < iov[i].iov_len && n < len; k++)
			((char *)iov[i].iov_base)[k] = byte_at(head + n++);
	}
	ring_commit(r, len);
	return len;
}

/* Everything that is kept is what was written there. */
static void assert_intact(const struct ring *r)
{
	uint64_t at = r->tail;

	assert_true(r->tail <= r->head);
	assert_true(r->head - r->tail <= r->cap);
	assert_true(r->cap <= r->limit);
	while (at < r->head) {
		const char *bytes;
		size_t n = ring_peek(r, at, &bytes);

		assert_in_range(n, 1, r->head - at);
		while (n--) {
			if (*bytes != byte_at(at))
				fail_msg("offset %zu is not what was written", (size_t)at);
			bytes++;
			at++;
		}
	}
}

static void test_empty(void **state)
{
	struct ring_budget budget = {.max = 1 << 20};
	struct ring r;
	const char *bytes;

	(void)state;
	ring_init(&r, 100000, &budget);
	assert_null(r.data);
	assert_int_equal(ring_peek(&r, 0, &bytes), 0);
	assert_int_equal(budget.used, 0);
	ring_trim(&r);
	ring_fini(&r);
	assert_int_equal(budget.used, 0);
	ring_init(&r, 1, &budget);
	assert_int_equal(r.limit, RING_MIN);
	ring_fini(&r);
}

static void test_grows(void **state)
{
	struct ring_budget budget = {.max = 1 << 20};
	struct ring r;

	(void)state;
	ring_init(&r, 100000, &budget);
	assert_int_equal(put(&r, NO_FLOOR, 1), 1);
	assert_int_equal(r.cap, RING_MIN);
	while (r.head < 100000)
		assert_int_not_equal(put(&r, NO_FLOOR, MIN(1000, 100000 - r.head)), 0);
	/* As long as it can grow it overwrites nothing. */
	assert_int_equal(r.tail, 0);
	assert_int_equal(r.cap, 100000);
	assert_int_equal(budget.used, 100000);
	assert_intact(&r);
	assert_int_equal(put(&r, NO_FLOOR, 10), 10);
	assert_int_equal(r.tail, 10);
	assert_intact(&r);
	ring_fini(&r);
	assert_int_equal(budget.used, 0);
}

/* The slowest reader's bytes stay; at the limit the writer has to wait for it. */
static void test_floor(void **state)
{
	struct ring_budget budget = {.max = 1 << 20};
	struct ring r;

	(void)state;
	ring_init(&r, RING_MIN, &budget);
	assert_int_equal(put(&r, 0, RING_MIN), RING_MIN);
	assert_int_equal(put(&r, 0, 1), 0);
	assert_int_equal(put(&r, 100, RING_MIN), 100);
	assert_int_equal(r.tail, 100);
	assert_intact(&r);
	assert_int_equal(put(&r, 100, 1), 0);
	/* A floor that is gone already asks for what is left; one ahead for nothing. */
	assert_int_equal(put(&r, 50, 1), 0);
	assert_int_equal(put(&r, r.head, RING_MIN), RING_MIN);
	assert_int_equal(r.tail, RING_MIN + 100);
	assert_intact(&r);
	assert_int_equal(put(&r, NO_FLOOR, 7), 7);
	assert_intact(&r);
	ring_fini(&r);
}

static void test_trim(void **state)
{
	struct ring_budget budget = {.max = 1 << 20};
	struct ring r;

	(void)state;
	ring_init(&r, 50000, &budget);
	while (r.head < 60000)
		assert_int_not_equal(put(&r, NO_FLOOR, 777), 0);
	ring_trim(&r); /* full: nothing to give back */
	assert_int_equal(r.cap, 50000);
	assert_intact(&r);
	ring_fini(&r);

	ring_init(&r, 50000, &budget);
	assert_int_equal(put(&r, NO_FLOOR, 100), 100);
	ring_trim(&r);
	assert_int_equal(r.cap, 100);
	assert_int_equal(budget.used, 100);
	assert_int_equal(r.tail, 0);
	assert_intact(&r);
	ring_fini(&r);

	ring_init(&r, 50000, &budget);
	(void)put(&r, NO_FLOOR, 0);
	assert_int_equal(budget.used, RING_MIN);
	ring_trim(&r);
	assert_null(r.data);
	assert_int_equal(budget.used, 0);
	ring_fini(&r);
}

/* Beyond the budget a ring stays small, works all the same, and never takes what is others'. */
static void test_budget(void **state)
{
	struct ring_budget budget = {.max = 3 * (size_t)RING_MIN};
	struct ring rings[5];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rings); i++)
		ring_init(&rings[i], 1 << 20, &budget);
	for (int round = 0; round < 50; round++) {
		for (size_t i = 0; i < ARRAY_LEN(rings); i++) {
			assert_int_not_equal(put(&rings[i], NO_FLOOR, 1000), 0);
			assert_intact(&rings[i]);
			assert_int_equal(rings[i].cap, RING_MIN);
		}
	}
	assert_int_equal(budget.used, 5 * (size_t)RING_MIN);
	for (size_t i = 0; i < ARRAY_LEN(rings); i++)
		ring_fini(&rings[i]);
	assert_int_equal(budget.used, 0);
}

static void random_writes(uint32_t seed)
{
	struct ring_budget budget = {.max = 60000};
	size_t others = rnd_below(&seed, 60000);
	struct ring r;

	budget.used = others;
	ring_init(&r, 1 + rnd_below(&seed, 40000), &budget);
	for (int i = 0; i < 300; i++) {
		uint64_t tail = r.tail, head = r.head, floor = NO_FLOOR;
		size_t n;

		if (rnd_below(&seed, 3))
			floor = tail + rnd_below(&seed, (uint32_t)(head - tail) + 1);
		n = put(&r, floor, rnd_below(&seed, 6000));
		assert_int_equal(r.head, head + n);
		assert_true(r.tail >= tail && r.tail <= MAX(MIN(floor, r.head), tail));
		assert_int_equal(budget.used, others + r.cap);
		assert_intact(&r);
	}
	ring_trim(&r);
	assert_intact(&r);
	assert_int_equal(r.cap, r.head - r.tail);
	ring_fini(&r);
	assert_int_equal(budget.used, others);
}

static void test_random(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 30; seed++)
		random_writes(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_floor),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
