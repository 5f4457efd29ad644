/* tests/unit/test_respawn.c - init/respawn: how long to wait */
#include "init/respawn.h"

#include "tests/unit/unit.h"

#define MS 1000ull

static void test_it_waits_longer_each_time(void **state)
{
	static const uint64_t waits_ms[] = {0, 100, 200, 400, 800, 1600, 3200, 5000, 5000};
	struct respawn r = {.calm_us = 10000 * MS, .longest_us = 5000 * MS};
	uint64_t now = 77 * MS;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(waits_ms); i++) {
		respawn_started(&r, 5, now);
		now += 9999 * MS;
		assert_int_equal(respawn_ended(&r, now), waits_ms[i] * MS);
		assert_int_equal(r.pid, 0);
		assert_int_equal(r.due_us, now + waits_ms[i] * MS);
		now = r.due_us;
	}
	respawn_started(&r, 5, now);
	now += 10000 * MS;
	assert_int_equal(respawn_ended(&r, now), 0);
	assert_int_equal(respawn_ended(&r, now), 100 * MS); /* could not be started */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_waits_longer_each_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
