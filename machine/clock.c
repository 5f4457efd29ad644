/* machine/clock.c - stepping the wall clock */
#include "machine/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

int clock_step(uint64_t time_us, uint64_t tolerance_us, int64_t *step_us)
{
	struct timespec t = {
		.tv_sec = (time_t)(time_us / 1000000),
		.tv_nsec = (long)(time_us % 1000000) * 1000,
	};
	int64_t off = (int64_t)(time_us - clock_real_us());

	*step_us = 0;
	if ((uint64_t)llabs(off) <= tolerance_us)
		return 0;
	if (clock_settime(CLOCK_REALTIME, &t) < 0)
		return -errno;
	*step_us = off;
	return 0;
}
