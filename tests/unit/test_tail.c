/*
 * tests/unit/test_tail.c - proc/tail: against a model that keeps every byte that ever came
 */
#include "proc/tail.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

#define MAX_BYTES  40000u
#define MAX_PIECES 12000u

/* What was written, in order. */
struct model {
	char byte[MAX_BYTES];
	unsigned char stream[MAX_BYTES];
	uint64_t offset[MAX_BYTES]; /* in its stream */
	size_t n;
	size_t stretch[MAX_PIECES]; /* where each begins */
	size_t n_stretches;
};

struct output {
	struct ring_budget budget;
	struct ring ring[2];
	struct order order;
	struct model model;
};

static struct output *output_new(size_t limit0, size_t limit1)
{
	struct output *o = calloc(1, sizeof(*o));

	assert_non_null(o);
	o->budget.max = 1 << 20;
	ring_init(&o->ring[0], limit0, &o->budget);
	ring_init(&o->ring[1], limit1, &o->budget);
	return o;
}

static void output_free(struct output *o)
{
	ring_fini(&o->ring[0]);
	ring_fini(&o->ring[1]);
	order_fini(&o->order);
	free(o);
}

static void put(struct output *o, unsigned stream, const char *bytes, size_t len)
{
	struct model *m = &o->model;

	if (len && (m->n == 0 || m->stream[m->n - 1] != stream)) {
		assert_in_range(m->n_stretches, 0, MAX_PIECES - 1);
		m->stretch[m->n_stretches++] = m->n;
	}
	order_add(&o->order, stream, len);
	for (size_t i = 0; i < len; i++) {
		struct ring *r = &o->ring[stream];
		struct iovec iov[2];

		assert_in_range(m->n, 0, MAX_BYTES - 1);
		m->byte[m->n] = bytes[i];
		m->stream[m->n] = (unsigned char)stream;
		m->offset[m->n++] = r->head;
		assert_int_not_equal(ring_prepare(r, UINT64_MAX, iov), 0);
		*(char *)iov[0].iov_base = bytes[i];
		ring_commit(r, 1);
	}
}

static void put_text(struct output *o, unsigned stream, const char *text)
{
	put(o, stream, text, strlen(text));
}

/* Appends bytes FROM to TO of the model that are wanted and kept; ONLY: of one stream (or 2). */
static size_t pick(const struct output *o, const struct tail *t, size_t from, size_t to,
	unsigned only, char *text, size_t n)
{
	const struct model *m = &o->model;

	for (size_t i = from; i < to; i++) {
		unsigned s = m->stream[i];

		if ((only == 2 || only == s) && t->wanted[s] && m->offset[i] >= o->ring[s].tail)
			text[n++] = m->byte[i];
	}
	return n;
}

/* The slow and simple way; the length, and where in *TEXT it begins. */
static size_t model_tail(
	const struct output *o, const struct tail *t, uint64_t lines, size_t max, char **text)
{
	const struct model *m = &o->model;
	size_t known =
		m->n_stretches > MAX_STRETCHES ? m->stretch[m->n_stretches - MAX_STRETCHES] : 0;
	uint64_t total = 0, line = 0;
	size_t n = 0, start = 0;

	n = pick(o, t, 0, known, 0, *text, n);
	n = pick(o, t, 0, known, 1, *text, n);
	n = pick(o, t, known, m->n, 2, *text, n);
	for (size_t i = 0; i < n; i++)
		total += (*text)[i] == '\n' || i == n - 1;
	while (start < n && total - line > lines)
		line += (*text)[start++] == '\n' || start == n;
	start = MAX(start, n - MIN(n, max));
	*text += start;
	return n - start;
}

static void check(const struct output *o, bool out, bool err, uint64_t lines, size_t max)
{
	struct tail t = {
		.ring = {&o->ring[0], &o->ring[1]}, .wanted = {out, err}, .order = &o->order};
	char *whole = malloc(MAX_BYTES), *want = whole, *all = malloc(MAX_BYTES), *uncut = all;
	struct tail_result result;
	size_t len, uncut_len;
	uint64_t n_lines = 0;
	struct buf text;

	assert_non_null(whole);
	assert_non_null(all);
	len = model_tail(o, &t, lines, max, &want);
	uncut_len = model_tail(o, &t, lines, SIZE_MAX, &uncut);
	for (size_t i = 0; i < len; i++)
		n_lines += want[i] == '\n' || i == len - 1;
	buf_init(&text, max);
	assert_int_equal(tail_read(&t, lines, &text, &result), 0);
	assert_int_equal(buf_len(&text), len);
	if (len)
		assert_memory_equal(buf_bytes(&text), want, len);
	assert_int_equal(result.lines, n_lines);
	assert_int_equal(result.cut, len < uncut_len);
	buf_fini(&text);
	free(whole);
	free(all);
}

static void check_all(const struct output *o, uint32_t *seed)
{
	static const uint64_t lines[] = {0, 1, 2, 3, 10, 100, 1000, UINT64_MAX};
	static const size_t max[] = {0, 1, 10, 100, 3000, 5000, 20000};

	for (unsigned wanted = 0; wanted < 4; wanted++) {
		for (size_t i = 0; i < ARRAY_LEN(lines); i++)
			check(o, wanted & 1, wanted & 2, lines[i], MAX_BYTES);
		for (size_t i = 0; i < ARRAY_LEN(max); i++)
			check(o, wanted & 1, wanted & 2, UINT64_MAX, max[i]);
		for (int i = 0; i < 10; i++)
			check(o, wanted & 1, wanted & 2, rnd_below(seed, 300),
				rnd_below(seed, 6000));
	}
}

static void assert_text(const struct output *o, uint64_t lines, const char *want, uint64_t n)
{
	struct tail t = {
		.ring = {&o->ring[0], &o->ring[1]}, .wanted = {true, true}, .order = &o->order};
	struct tail_result result;
	struct buf text;

	buf_init(&text, MAX_BYTES);
	assert_int_equal(tail_read(&t, lines, &text, &result), 0);
	assert_int_equal(buf_len(&text), strlen(want));
	if (*want)
		assert_memory_equal(buf_bytes(&text), want, strlen(want));
	assert_int_equal(result.lines, n);
	assert_false(result.cut);
	buf_fini(&text);
}

static void test_by_hand(void **state)
{
	struct output *o = output_new(RING_MIN, RING_MIN);

	(void)state;
	assert_text(o, 5, "", 0);
	put_text(o, 0, "one\ntwo");
	assert_text(o, 1, "two", 1);
	assert_text(o, 2, "one\ntwo", 2);
	put_text(o, 1, "WARN\n");
	put_text(o, 0, " and\n");
	assert_text(o, 0, "", 0);
	assert_text(o, 1, " and\n", 1);
	assert_text(o, 2, "twoWARN\n and\n", 2);
	assert_text(o, 9, "one\ntwoWARN\n and\n", 3);
	put_text(o, 1, "\n\n");
	assert_text(o, 1, "\n", 1);
	assert_text(o, 3, " and\n\n\n", 3);
	put_text(o, 0, "x");
	assert_text(o, 2, "\nx", 2);
	output_free(o);
}

/* Long lines, short ones, empty ones; rings that wrap, and ones that differ. */
static void test_random(void **state)
{
	uint32_t seed = 2026;

	(void)state;
	for (uint32_t round = 0; round < 60; round++) {
		struct output *o = output_new(
			RING_MIN + rnd_below(&seed, 5000), RING_MIN + rnd_below(&seed, 5000));
		uint32_t len = 1 + rnd_below(&seed, round % 2 ? 20 : 600);
		uint32_t bytes = rnd_below(&seed, 20000), rare = 1 + rnd_below(&seed, 200);
		uint32_t from_err = rnd_below(&seed, 101);

		while (o->model.n < bytes) {
			unsigned stream = rnd_below(&seed, 100) < from_err;
			uint32_t n = rnd_below(&seed, len + 1);
			char piece[600];

			for (uint32_t i = 0; i < n; i++)
				piece[i] = rnd_below(&seed, rare) ? "abcdefgh"[i % 8] : '\n';
			put(o, stream, piece, n);
		}
		check_all(o, &seed);
		output_free(o);
	}
}

/* More changes from one stream to the other than are remembered. */
static void test_forgotten_order(void **state)
{
	struct output *o = output_new(RING_MIN, 3 * RING_MIN);
	uint32_t seed = 9;

	(void)state;
	for (unsigned i = 0; i < 3 * MAX_STRETCHES - 500; i++) {
		char piece[3] = {"Xyz\n"[i % 4], (char)('0' + i % 10), 'a'};

		put(o, i % 2, piece, 1 + rnd_below(&seed, 3));
		if (i % 3000 == 0)
			check_all(o, &seed);
	}
	assert_true(o->ring[0].tail > 0);
	check_all(o, &seed);
	output_free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_hand),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_forgotten_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
