/* tests/unit/test_buf.c - base/buf: order, the maximum, and when memory goes */
#include "base/buf.h"

#include <errno.h>
#include <stdlib.h>

#include "tests/unit/unit.h"

static void test_empty(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(buf_len(&b), 0);
	assert_null(b.data);
	assert_int_equal(buf_add(&b, "", 0), 0);
	assert_null(b.data);
	buf_consume(&b, 0);
	buf_clear(&b);
	buf_fini(&b);
	assert_int_equal(b.max, 100);
}

static void test_order(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(buf_add(&b, "hello ", 6), 0);
	assert_int_equal(buf_add(&b, "world", 5), 0);
	assert_int_equal(buf_len(&b), 11);
	assert_memory_equal(buf_bytes(&b), "hello world", 11);
	buf_consume(&b, 6);
	assert_int_equal(buf_len(&b), 5);
	assert_memory_equal(buf_bytes(&b), "world", 5);
	buf_consume(&b, 5);
	assert_int_equal(buf_len(&b), 0);
	buf_fini(&b);
}

static void test_maximum(void **state)
{
	char bytes[101] = {1, 2, 3};
	struct buf b;

	(void)state;
	buf_init(&b, 100);
	assert_int_equal(buf_add(&b, bytes, 101), -ENOBUFS);
	assert_int_equal(buf_len(&b), 0);
	assert_int_equal(buf_add(&b, bytes, 100), 0);
	assert_int_equal(buf_add(&b, bytes, 1), -ENOBUFS);
	assert_null(buf_reserve(&b, 1));
	assert_int_equal(buf_len(&b), 100);
	assert_memory_equal(buf_bytes(&b), bytes, 100);
	/* What was consumed is room again, also when it is at the wrong end. */
	buf_consume(&b, 40);
	assert_int_equal(buf_add(&b, bytes, 41), -ENOBUFS);
	assert_int_equal(buf_add(&b, bytes, 40), 0);
	assert_int_equal(buf_len(&b), 100);
	assert_memory_equal(buf_bytes(&b) + 60, bytes, 40);
	buf_fini(&b);
}

static void test_huge_lengths(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 1000);
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_int_equal(buf_add(&b, "x", 1), 0);
	assert_null(buf_reserve(&b, SIZE_MAX));
	assert_null(buf_reserve(&b, SIZE_MAX - 1));
	assert_null(buf_reserve(&b, 1000));
	assert_non_null(buf_reserve(&b, 999));
	buf_fini(&b);
	buf_init(&b, 0);
	assert_null(buf_reserve(&b, 1));
	buf_fini(&b);
}

static void test_reserve_commit(void **state)
{
	struct buf b;
	char *p;

	(void)state;
	buf_init(&b, 1 << 20);
	p = buf_reserve(&b, 600);
	assert_non_null(p);
	memset(p, 'a', 600);
	buf_commit(&b, 10); /* less than was reserved */
	assert_int_equal(buf_len(&b), 10);
	p = buf_reserve(&b, 70000);
	assert_non_null(p);
	p[0] = 'b';
	p[69999] = 'c';
	buf_commit(&b, 70000);
	assert_int_equal(buf_len(&b), 70010);
	assert_int_equal(buf_bytes(&b)[9], 'a');
	assert_int_equal(buf_bytes(&b)[10], 'b');
	assert_int_equal(buf_bytes(&b)[70009], 'c');
	buf_fini(&b);
}

static void test_memory_goes(void **state)
{
	static const char bytes[10000];
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	assert_int_equal(buf_add(&b, bytes, 10), 0);
	buf_consume(&b, 10);
	assert_non_null(b.data); /* small: kept for the next message */
	assert_int_equal(b.head, 0);
	assert_int_equal(buf_add(&b, bytes, sizeof(bytes)), 0);
	buf_consume(&b, sizeof(bytes));
	assert_null(b.data);
	assert_int_equal(b.cap, 0);
	assert_int_equal(b.max, 1 << 20);
	assert_int_equal(buf_add(&b, bytes, 1), 0);
	buf_clear(&b);
	assert_null(b.data);
	assert_int_equal(buf_add(&b, bytes, 1), 0);
	buf_fini(&b);
}

/* Against a plain array that never wraps. */
/* Bytes that may not stay behind: in what was consumed, and in what is behind a move. */
static void test_secret(void **state)
{
	static const char zero[64];
	struct buf b;

	(void)state;
	buf_init(&b, 4096);
	b.secret = true;
	assert_int_equal(buf_add(&b, LIT("0123456789abcdef")), 0);
	buf_consume(&b, 8);
	assert_memory_equal(b.data, zero, 8);
	assert_memory_equal(buf_bytes(&b), "89abcdef", 8);
	assert_non_null(buf_reserve(&b, 500)); /* moves to the front */
	assert_memory_equal(b.data, "89abcdef", 8);
	assert_memory_equal(b.data + 8, zero, 8);
	assert_non_null(buf_reserve(&b, 2000)); /* grows */
	assert_memory_equal(buf_bytes(&b), "89abcdef", 8);
	buf_fini(&b);
	assert_true(b.secret);
}

static void test_random(void **state)
{
	enum { MAX_LEN = 9000, ALL = 1 << 20 };
	unsigned char *all = malloc(ALL), chunk[3000];
	size_t in = 0, out = 0;
	uint32_t seed = 1;
	struct buf b;

	(void)state;
	assert_non_null(all);
	buf_init(&b, MAX_LEN);
	while (in + sizeof(chunk) < ALL) {
		size_t n = rnd_below(&seed, sizeof(chunk) + 1);

		if (rnd_below(&seed, 2)) {
			bool fits = in - out + n <= MAX_LEN;

			rnd_fill(&seed, chunk, n);
			assert_int_equal(buf_add(&b, chunk, n), fits ? 0 : -ENOBUFS);
			if (fits) {
				memcpy(all + in, chunk, n);
				in += n;
			}
		} else {
			n = MIN(n, in - out);
			buf_consume(&b, n);
			out += n;
		}
		assert_int_equal(buf_len(&b), in - out);
		assert_in_range(b.cap, 0, MAX_LEN);
		if (in > out)
			assert_memory_equal(buf_bytes(&b), all + out, in - out);
	}
	buf_fini(&b);
	free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_maximum),
		cmocka_unit_test(test_huge_lengths),
		cmocka_unit_test(test_reserve_commit),
		cmocka_unit_test(test_memory_goes),
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
