/* machine/clock.h - stepping the wall clock */
#ifndef MACHINE_CLOCK_H
#define MACHINE_CLOCK_H

#include <stdint.h>

#include "base/check.h"

/*
 * Sets CLOCK_REALTIME to TIME_US since the epoch if it is off by more than TOLERANCE_US.  0, with
 * the step that was made (0: none) in *STEP_US, or -errno.  Thread: any.
 */
MUST_CHECK int clock_step(uint64_t time_us, uint64_t tolerance_us, int64_t *step_us);

#endif
