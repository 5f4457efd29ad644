/* base/clock.h - the clocks, in microseconds */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC: for durations. */
uint64_t clock_mono_us(void);

/* CLOCK_BOOTTIME: it goes on while the guest is suspended; the kernel's own stamps count so. */
uint64_t clock_boot_us(void);

/* CLOCK_REALTIME since the Unix epoch: for time stamps that leave the guest. */
uint64_t clock_real_us(void);

#endif
