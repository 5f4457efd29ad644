/* tests/unit/test_frame.c - proto/frame: the same frames whatever the pieces they come in */
#include "proto/frame.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/limits.h"
#include "tests/unit/unit.h"

static void expect(struct frame_reader *r, const char *want, size_t want_len)
{
	const char *body;
	size_t len;

	assert_int_equal(frame_next(r, &body, &len), 1);
	assert_int_equal(len, want_len);
	assert_memory_equal(body, want, want_len);
}

static void expect_none(struct frame_reader *r)
{
	const char *body;
	size_t len;

	assert_int_equal(frame_next(r, &body, &len), 0);
}

static void expect_failure(struct frame_reader *r)
{
	const char *body;
	size_t len;

	assert_int_equal(frame_next(r, &body, &len), -EPROTO);
	assert_non_null(r->why);
}

static void test_whole(void **state)
{
	static const char bytes[] = "\0\0\0\3abc";
	struct frame_reader r;
	const char *body;
	size_t len;

	(void)state;
	frame_init(&r, 100);
	expect_none(&r);
	frame_push(&r, bytes, 7);
	assert_int_equal(frame_next(&r, &body, &len), 1);
	assert_int_equal(len, 3);
	assert_ptr_equal(body, bytes + 4); /* read where it lies */
	expect_none(&r);
	assert_int_equal(frame_kept(&r), 0);
	assert_null(r.kept.data);
	frame_fini(&r);
}

static void test_bytewise(void **state)
{
	static const char bytes[] = "\0\0\0\3abc\0\0\0\1d\0\0\0\2ef";
	static const char *const want[] = {[6] = "abc", [11] = "d", [17] = "ef"};
	struct frame_reader r;

	(void)state;
	frame_init(&r, 100);
	for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
		char *one = malloc(1); /* gone after the push: nothing may point into it */

		assert_non_null(one);
		*one = bytes[i];
		frame_push(&r, one, 1);
		if (i < ARRAY_LEN(want) && want[i])
			expect(&r, want[i], strlen(want[i]));
		expect_none(&r);
		free(one);
	}
	assert_int_equal(frame_kept(&r), 0);
	frame_fini(&r);
}

static void test_many_in_one_push(void **state)
{
	struct frame_reader r;

	(void)state;
	frame_init(&r, 100);
	frame_push(&r, LIT("\0\0\0\1a\0\0\0\1b\0\0\0\2cd\0\0\0\5e"));
	expect(&r, "a", 1);
	expect(&r, "b", 1);
	expect(&r, "cd", 2);
	expect_none(&r);
	assert_int_equal(frame_kept(&r), 5);
	frame_push(&r, LIT("fghi\0\0\0\1j\0\0"));
	expect(&r, "efghi", 5);
	expect(&r, "j", 1);
	expect_none(&r);
	assert_int_equal(frame_kept(&r), 2);
	frame_push(&r, LIT("\0\1k"));
	expect(&r, "k", 1);
	expect_none(&r);
	frame_fini(&r);
}

/* Only what was cut is copied: the frames behind it are read where they lie again. */
static void test_copies_no_more_than_cut(void **state)
{
	static const char rest[] = "bc\0\0\0\1d\0";
	struct frame_reader r;
	const char *body;
	size_t len;

	(void)state;
	frame_init(&r, 100);
	frame_push(&r, LIT("\0\0\0\3a"));
	expect_none(&r);
	frame_push(&r, LIT(rest));
	expect(&r, "abc", 3);
	assert_int_equal(frame_kept(&r), 0);
	assert_int_equal(frame_next(&r, &body, &len), 1);
	assert_ptr_equal(body, rest + 6);
	expect_none(&r);
	assert_int_equal(frame_kept(&r), 1);
	frame_fini(&r);
}

static void test_keep(void **state)
{
	static const char bytes[] = "\0\0\0\1a\0\0\0\1b\0\0\0\3cde\0\0";
	char *copy = malloc(sizeof(bytes) - 1);
	struct frame_reader r;

	(void)state;
	assert_non_null(copy);
	memcpy(copy, bytes, sizeof(bytes) - 1);
	frame_init(&r, 100);
	frame_push(&r, copy, sizeof(bytes) - 1);
	expect(&r, "a", 1);
	assert_int_equal(frame_keep(&r), 0);
	free(copy);
	assert_int_equal(frame_kept(&r), 14);
	expect(&r, "b", 1);
	assert_int_equal(frame_kept(&r), 9); /* what was handed out does not count */
	assert_int_equal(frame_keep(&r), 0); /* with nothing pushed */
	assert_int_equal(frame_kept(&r), 9);
	expect(&r, "cde", 3);
	expect_none(&r);
	frame_push(&r, LIT("\0\1f"));
	expect(&r, "f", 1);
	expect_none(&r);
	assert_int_equal(frame_kept(&r), 0);
	frame_fini(&r);
}

static void test_length_zero(void **state)
{
	struct frame_reader r;

	(void)state;
	frame_init(&r, 100);
	frame_push(&r, LIT("\0\0\0\1a\0\0\0\0"));
	expect(&r, "a", 1);
	expect_failure(&r);
	frame_fini(&r);

	/* The same when the length comes in two pieces. */
	frame_init(&r, 100);
	frame_push(&r, LIT("\0\0"));
	expect_none(&r);
	frame_push(&r, LIT("\0\0"));
	expect_failure(&r);
	frame_fini(&r);
}

static void test_length_huge(void **state)
{
	struct frame_reader r;

	(void)state;
	frame_init(&r, 100);
	frame_push(&r, LIT("\xff\xff\xff\xff"));
	expect_failure(&r);
	assert_null(r.kept.data); /* refused before a byte is kept for it */
	frame_fini(&r);

	frame_init(&r, 100);
	frame_push(&r, LIT("\0\0\0"));
	expect_none(&r);
	frame_push(&r, LIT("\x65"));
	expect_failure(&r);
	frame_fini(&r);
}

/* A frame of the maximum passes, whole and cut at every place that matters; one more does not. */
static void max_edge(uint32_t max)
{
	size_t len = FRAME_HEADER + (size_t)max;
	char *bytes = malloc(len), *body = bytes + FRAME_HEADER;
	const size_t cuts[] = {len, 1, 3, 4, 5, len - 1};
	struct frame_reader r;
	uint32_t seed = 3;

	assert_non_null(bytes);
	frame_header(bytes, max);
	rnd_fill(&seed, body, max);
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		size_t cut = MIN(cuts[i], len);

		frame_init(&r, max);
		frame_push(&r, bytes, cut);
		if (cut < len) {
			expect_none(&r);
			assert_int_equal(frame_kept(&r), cut);
			frame_push(&r, bytes + cut, len - cut);
		}
		expect(&r, body, max);
		expect_none(&r);
		frame_fini(&r);
	}
	frame_init(&r, max - 1);
	frame_push(&r, bytes, len);
	expect_failure(&r);
	frame_fini(&r);
	free(bytes);
}

static void test_max_edge(void **state)
{
	(void)state;
	max_edge(MAX_FRAME);
	max_edge(MIN_FRAME);
	max_edge(2);
}

/* An incomplete frame of the maximum and a whole read behind it: the most that is ever kept. */
static void test_keep_edge(void **state)
{
	size_t len = FRAME_HEADER + MAX_FRAME + READ_CHUNK;
	char *bytes = calloc(1, len);
	struct frame_reader r;

	(void)state;
	assert_non_null(bytes);
	frame_header(bytes, MAX_FRAME);
	frame_init(&r, MAX_FRAME);
	frame_push(&r, bytes, FRAME_HEADER + MAX_FRAME);
	assert_int_equal(frame_keep(&r), 0);
	frame_push(&r, bytes, READ_CHUNK);
	assert_int_equal(frame_keep(&r), 0);
	frame_push(&r, bytes, 1);
	assert_int_equal(frame_keep(&r), -EPROTO);
	frame_fini(&r);
	free(bytes);
}

static void test_header(void **state)
{
	char out[FRAME_HEADER];

	(void)state;
	frame_header(out, 0x81828384);
	assert_memory_equal(out, "\x81\x82\x83\x84", 4);
	frame_header(out, 1);
	assert_memory_equal(out, "\0\0\0\1", 4);
}

/* Pulls some frames or all; checks them against STREAM, from which *POS is the next. */
static void pull(struct frame_reader *r, const char *stream, size_t *pos, uint32_t n)
{
	const char *body;
	size_t len;

	while (n-- && frame_next(r, &body, &len) == 1) {
		char header[FRAME_HEADER];

		frame_header(header, (uint32_t)len);
		assert_memory_equal(stream + *pos, header, FRAME_HEADER);
		assert_memory_equal(stream + *pos + FRAME_HEADER, body, len);
		*pos += FRAME_HEADER + len;
	}
}

/* One stream of frames in random pieces, some pulled late, with the pieces freed at once. */
static void random_stream(uint32_t seed)
{
	enum { MAX = 5000, LEN = 200000 };
	char *stream = malloc(LEN + FRAME_HEADER + MAX);
	size_t end = 0, pushed = 0, pulled = 0;
	struct frame_reader r;

	assert_non_null(stream);
	while (end < LEN) {
		uint32_t n = 1 + rnd_below(&seed, rnd_below(&seed, 8) ? 40 : MAX);

		frame_header(stream + end, n);
		rnd_fill(&seed, stream + end + FRAME_HEADER, n);
		end += FRAME_HEADER + n;
	}
	frame_init(&r, MAX);
	while (pushed < end) {
		size_t n = 1 + rnd_below(&seed, rnd_below(&seed, 2) ? 12 : 4000);
		char *piece;

		n = MIN(n, end - pushed);
		piece = malloc(n);
		assert_non_null(piece);
		memcpy(piece, stream + pushed, n);
		frame_push(&r, piece, n);
		pushed += n;
		if (rnd_below(&seed, 3) == 0) {
			pull(&r, stream, &pulled, rnd_below(&seed, 4));
			assert_int_equal(frame_keep(&r), 0);
			free(piece);
			piece = NULL;
			pull(&r, stream, &pulled, rnd_below(&seed, 4));
		}
		pull(&r, stream, &pulled, UINT32_MAX);
		assert_int_equal(frame_kept(&r), pushed - pulled);
		free(piece);
	}
	assert_int_equal(pulled, end);
	assert_int_equal(frame_kept(&r), 0);
	frame_fini(&r);
	free(stream);
}

/* A frame that held a secret: gone from where it was pushed, or from what was kept of it. */
static void test_wipe(void **state)
{
	char whole[] = "\0\0\0\6secret\0\0\0\4next", cut[] = "\0\0\0\6sec";
	struct frame_reader r;
	const char *body;
	size_t len;

	(void)state;
	frame_init(&r, 100);
	frame_push(&r, whole, sizeof(whole) - 1);
	assert_int_equal(frame_next(&r, &body, &len), 1);
	assert_memory_equal(body, "secret", 6);
	assert_false(frame_wipe(&r));
	assert_memory_equal(whole, "\0\0\0\0\0\0\0\0\0\0", 10);
	assert_int_equal(frame_next(&r, &body, &len), 1);
	assert_memory_equal(body, "next", 4);
	assert_int_equal(frame_next(&r, &body, &len), 0);

	frame_push(&r, cut, sizeof(cut) - 1);
	assert_int_equal(frame_next(&r, &body, &len), 0);
	frame_push(&r, LIT("ret"));
	assert_int_equal(frame_next(&r, &body, &len), 1);
	assert_memory_equal(body, "secret", 6);
	assert_true(frame_wipe(&r));
	assert_memory_equal(body, "\0\0\0\0\0\0", 6);
	assert_int_equal(frame_next(&r, &body, &len), 0);
	frame_fini(&r);
}

static void test_random(void **state)
{
	(void)state;
	for (uint32_t seed = 1; seed <= 20; seed++)
		random_stream(seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_bytewise),
		cmocka_unit_test(test_many_in_one_push),
		cmocka_unit_test(test_copies_no_more_than_cut),
		cmocka_unit_test(test_keep),
		cmocka_unit_test(test_length_zero),
		cmocka_unit_test(test_length_huge),
		cmocka_unit_test(test_max_edge),
		cmocka_unit_test(test_keep_edge),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_wipe),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
