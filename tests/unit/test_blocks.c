/* tests/unit/test_blocks.c - blocks that are compressed by all processors are one stream to everybody */
#include "tar/blocks.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "guestd/loop.h"
#include "tests/unit/unit.h"

#define BYTES (5u << 20)

static char *input, *packed, *output;
static atomic_bool stopped;

static bool is_stopped(const void *ctx)
{
	(void)ctx;
	return atomic_load(&stopped);
}

/* Text that is compressed well, and noise that is not, by turns. */
static void fill(uint32_t *seed)
{
	for (size_t at = 0; at < BYTES;) {
		size_t any = 1 + rnd_below(seed, 70000), len = MIN(any, BYTES - at);

		if (rnd_below(seed, 2)) {
			rnd_fill(seed, input + at, len);
		} else {
			for (size_t i = 0; i < len; i++)
				input[at + i] = (char)('a' + (i * i >> 7) % 7);
		}
		at += len;
	}
}

/* LEN bytes through BLOCKS, in pieces of any size; how many come out. */
static size_t pack(const struct codec *codec, int level, size_t len, uint32_t *seed)
{
	struct blocks b = {.codec = NULL};
	size_t in = 0, out = 0;
	struct failure f;

	assert_int_equal(blocks_begin(&b, codec, level, is_stopped, NULL, &f), 0);
	while (!blocks_done(&b)) {
		ssize_t n = blocks_take(&b, packed + out, 1 + rnd_below(seed, 100000));
		size_t room;
		char *at;

		assert_true(n >= 0);
		out += (size_t)n;
		if (in == len)
			blocks_end(&b);
		at = in < len ? blocks_room(&b, &room) : NULL;
		if (at) {
			size_t some = 1 + rnd_below(seed, 200000);

			some = MIN(some, MIN(room, len - in));
			memcpy(at, input + in, some);
			blocks_add(&b, some);
			in += some;
		} else if (!n) {
			blocks_work(&b);
		}
	}
	blocks_fini(&b);
	return out;
}

static void check_gzip(size_t packed_len, size_t len)
{
	z_stream z = {.next_in = (Bytef *)packed,
		.avail_in = (uInt)packed_len,
		.next_out = (Bytef *)output,
		.avail_out = BYTES + 1};

	assert_int_equal(inflateInit2(&z, 16 + MAX_WBITS), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END); /* its sums are right, too */
	assert_int_equal(z.avail_in, 0);
	assert_int_equal(z.total_out, len);
	inflateEnd(&z);
	assert_memory_equal(output, input, len);
}

static void check_zstd(size_t packed_len, size_t len)
{
	assert_int_equal(ZSTD_decompress(output, BYTES + 1, packed, packed_len), len);
	assert_memory_equal(output, input, len);
}

static const size_t lengths[] = {1, 512, (256u << 10) - 1, 256u << 10, (256u << 10) + 1, 1u << 20,
	(1u << 20) + 1, 3000000, BYTES};

static void all_lengths(
	const struct codec *codec, int level, void (*check)(size_t packed_len, size_t len))
{
	uint32_t seed = 1 + (uint32_t)level;

	fill(&seed);
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
		check(pack(codec, level, lengths[i], &seed), lengths[i]);
}

static void test_gzip_by_zlib(void **state)
{
	(void)state;
	all_lengths(codec_gzip(true, 0), 0, check_gzip);
	all_lengths(codec_gzip(true, 6), 6, check_gzip);
	assert_ptr_equal(codec_gzip(true, 0), &codec_zlib);
	assert_ptr_equal(codec_gzip(false, 9), &codec_zlib);
}

static void test_gzip_by_the_fastest(void **state)
{
	(void)state;
	all_lengths(codec_gzip(false, 1), 1, check_gzip);
	all_lengths(codec_gzip(false, 2), 2, check_gzip);
}

static void test_zstd(void **state)
{
	(void)state;
	all_lengths(&codec_zstd, 0, check_zstd);
	all_lengths(&codec_zstd, 5, check_zstd);
}

/* Blocks refer to the ones before them: noise that repeats within 32 KiB is stored once. */
static void test_blocks_share_a_dictionary(void **state)
{
	uint32_t seed = 7;

	(void)state;
	rnd_fill(&seed, input, 4000);
	for (size_t at = 4000; at < BYTES; at++)
		input[at] = input[at - 4000];
	assert_true(pack(codec_gzip(true, 0), 1, BYTES, &seed) < BYTES / 50);
	assert_true(pack(codec_gzip(false, 2), 2, BYTES, &seed) < BYTES / 50);
}

static void test_the_same_bytes_whoever_compresses(void **state)
{
	uint32_t seed = 3;
	size_t len;
	char *first;

	(void)state;
	fill(&seed);
	len = pack(codec_gzip(true, 0), 3, BYTES, &seed);
	first = malloc(len);
	assert_non_null(first);
	memcpy(first, packed, len);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(pack(codec_gzip(true, 0), 3, BYTES, &seed), len);
		assert_memory_equal(packed, first, len);
	}
	free(first);
}

/* Whoever is at it is waited for, whatever is not begun is dropped. */
static void test_an_end_in_between(void **state)
{
	uint32_t seed = 9;

	(void)state;
	fill(&seed);
	for (size_t i = 0; i < 20; i++) {
		struct blocks b = {.codec = NULL};
		struct failure f;
		size_t room;
		char *at;

		assert_int_equal(blocks_begin(&b, &codec_zstd, 19, is_stopped, NULL, &f), 0);
		atomic_store(&stopped, i % 2);
		while ((at = blocks_room(&b, &room))) {
			memcpy(at, input, room);
			blocks_add(&b, room);
		}
		blocks_fini(&b);
		atomic_store(&stopped, false);
	}
}

static void nothing(struct job *job)
{
	(void)job;
}

static void started(struct job *job)
{
	(void)job;
	loop_break();
}

static int set_up(void **state)
{
	static struct job jobs[2];

	(void)state;
	input = malloc(BYTES + 1);
	output = malloc(BYTES + 1);
	packed = malloc(2 * BYTES);
	if (loop_init() < 0)
		return -1;
	/* Two workers, which stay. */
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
		jobs[i] = (struct job){.work = nothing, .done = started};
		if (job_submit(&jobs[i]) < 0)
			return -1;
	}
	loop_run();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	job_shutdown();
	loop_fini();
	free(input);
	free(output);
	free(packed);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gzip_by_zlib),
		cmocka_unit_test(test_gzip_by_the_fastest),
		cmocka_unit_test(test_zstd),
		cmocka_unit_test(test_blocks_share_a_dictionary),
		cmocka_unit_test(test_the_same_bytes_whoever_compresses),
		cmocka_unit_test(test_an_end_in_between),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
