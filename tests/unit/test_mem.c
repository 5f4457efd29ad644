/* tests/unit/test_mem.c - base/mem: arenas, and the allocations that cannot fail */
#include "base/mem.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

static void test_x(void **state)
{
	static const char zeros[64];
	char *p;

	(void)state;
	p = xcalloc(8, 8);
	assert_memory_equal(p, zeros, 64);
	free(p);
	p = xmalloc(1);
	assert_non_null(p);
	free(p);
	p = xstrdup("text");
	assert_string_equal(p, "text");
	free(p);
	p = xasprintf("%s-%d", "a", 7);
	assert_string_equal(p, "a-7");
	free(p);
}

static void test_arena_alloc(void **state)
{
	static const char zeros[100];
	struct arena *a = arena_new(256);
	char *p, *q;

	(void)state;
	assert_non_null(a);
	p = arena_alloc(a, 100);
	assert_non_null(p);
	assert_int_equal((uintptr_t)p % 16, 0);
	assert_memory_equal(p, zeros, 100);
	memset(p, 0xff, 100);
	q = arena_alloc(a, 100);
	assert_non_null(q);
	assert_int_equal((uintptr_t)q % 16, 0);
	assert_int_equal(q - p, 112); /* 100, rounded up to the alignment */
	assert_memory_equal(q, zeros, 100);
	arena_free(a);
}

static void test_arena_edge(void **state)
{
	struct arena *a = arena_new(64);

	(void)state;
	assert_non_null(a);
	assert_null(arena_alloc(a, 65));
	assert_null(arena_alloc(a, SIZE_MAX));
	assert_non_null(arena_alloc(a, 63));
	/* One byte is left, but none at the alignment. */
	assert_null(arena_alloc(a, 1));
	assert_non_null(arena_alloc(a, 0));
	assert_null(arena_alloc(a, 1));
	arena_free(a);

	a = arena_new(64);
	assert_non_null(a);
	assert_non_null(arena_alloc(a, 64));
	assert_null(arena_alloc(a, 1));
	assert_null(arena_copy(a, "", 0));
	arena_free(a);
}

static void test_arena_copy(void **state)
{
	struct arena *a = arena_new(16);
	const char *p, *q;

	(void)state;
	assert_non_null(a);
	p = arena_copy(a, "abc", 3);
	assert_string_equal(p, "abc");
	q = arena_copy(a, NULL, 0);
	assert_string_equal(q, "");
	assert_ptr_equal(q, p + 4);
	/* Eleven bytes are left: ten and a NUL, no more. */
	assert_null(arena_copy(a, "0123456789a", 11));
	assert_null(arena_copy(a, "", SIZE_MAX));
	assert_int_equal(a->used, 5);
	q = arena_copy(a, "0123456789", 10);
	assert_string_equal(q, "0123456789");
	assert_null(arena_copy(a, "", 0));
	assert_string_equal(p, "abc");
	arena_free(a);
}

static void test_arena_copy_holds_nul(void **state)
{
	struct arena *a = arena_new(16);
	const char *p;

	(void)state;
	assert_non_null(a);
	p = arena_copy(a, LIT("a\0b"));
	assert_memory_equal(p, "a\0b", 4);
	arena_free(a);
}

static void test_arena_nothing(void **state)
{
	struct arena *a = arena_new(0);

	(void)state;
	assert_non_null(a);
	assert_null(arena_copy(a, "", 0));
	assert_null(arena_alloc(a, 1));
	arena_free(a);
	arena_free(NULL);
}

/* Blocks never overlap: each keeps its own byte. */
static void test_arena_random(void **state)
{
	struct {
		unsigned char *at;
		size_t len;
		unsigned char byte;
	} blocks[2000];
	struct arena *a = arena_new(60000);
	uint32_t seed = 2;
	size_t n = 0;

	(void)state;
	assert_non_null(a);
	while (n < ARRAY_LEN(blocks)) {
		size_t len = rnd_below(&seed, 100);
		unsigned char text[100];
		void *p;

		memset(text, (int)(n & 0xff), sizeof(text));
		if (rnd_below(&seed, 2)) {
			p = arena_alloc(a, len);
			if (p)
				memset(p, (int)(n & 0xff), len);
		} else {
			p = arena_copy(a, text, len);
		}
		if (!p)
			break;
		blocks[n].at = p;
		blocks[n].len = len;
		blocks[n].byte = (unsigned char)n;
		n++;
	}
	assert_in_range(n, 500, ARRAY_LEN(blocks) - 1);
	assert_in_range(a->used, 1, a->len);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < blocks[i].len; k++)
			assert_int_equal(blocks[i].at[k], blocks[i].byte);
	}
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_x),
		cmocka_unit_test(test_arena_alloc),
		cmocka_unit_test(test_arena_edge),
		cmocka_unit_test(test_arena_copy),
		cmocka_unit_test(test_arena_copy_holds_nul),
		cmocka_unit_test(test_arena_nothing),
		cmocka_unit_test(test_arena_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
