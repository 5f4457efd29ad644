/* tests/unit/test_order.c - proc/order: what came last is known, what is old is forgotten */
#include "proc/order.h"

#include "tests/unit/unit.h"

static void assert_stretch(const struct order *o, size_t back, unsigned stream, uint64_t len)
{
	struct stretch s;

	assert_true(order_get(o, back, &s));
	assert_int_equal(s.stream, stream);
	assert_int_equal(s.len, len);
}

static void test_empty(void **state)
{
	struct order o = {0};
	struct stretch s;

	(void)state;
	assert_false(order_get(&o, 0, &s));
	order_add(&o, 1, 0);
	assert_false(order_get(&o, 0, &s));
	assert_null(o.at);
	order_fini(&o);
}

static void test_one_stream_costs_nothing(void **state)
{
	struct order o = {0};
	struct stretch s;

	(void)state;
	for (int i = 0; i < 1000000; i++)
		order_add(&o, 1, 65536);
	assert_in_range(o.cap, 1, 8);
	assert_stretch(&o, 0, 1, UINT64_C(65536000000));
	assert_false(order_get(&o, 1, &s));
	order_fini(&o);
	assert_false(order_get(&o, 0, &s));
}

/* However many came, the last ones are there, and no more than MAX_STRETCHES. */
static void test_all_sizes(void **state)
{
	struct order o = {0};
	struct stretch s;

	(void)state;
	for (size_t n = 1; n <= 3 * MAX_STRETCHES; n++) {
		size_t kept = MIN(n, MAX_STRETCHES);

		/* In two parts, which merge. */
		order_add(&o, n % 2, 1);
		order_add(&o, !(n % 2), 0);
		order_add(&o, n % 2, n);
		assert_in_range(o.cap, kept, MAX_STRETCHES);
		assert_stretch(&o, 0, n % 2, n + 1);
		assert_stretch(&o, kept - 1, (n - kept + 1) % 2, n - kept + 2);
		assert_stretch(&o, kept / 2, (n - kept / 2) % 2, n - kept / 2 + 1);
		assert_false(order_get(&o, kept, &s));
	}
	order_fini(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_one_stream_costs_nothing),
		cmocka_unit_test(test_all_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
