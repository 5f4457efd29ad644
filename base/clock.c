/* base/clock.c - the clocks, in microseconds */
#include "base/clock.h"

#include <time.h>

static uint64_t now_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_mono_us(void)
{
	return now_us(CLOCK_MONOTONIC);
}

uint64_t clock_real_us(void)
{
	return now_us(CLOCK_REALTIME);
}

uint64_t clock_boot_us(void)
{
	return now_us(CLOCK_BOOTTIME);
}
