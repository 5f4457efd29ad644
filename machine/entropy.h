/* machine/entropy.h - randomness from the host */
#ifndef MACHINE_ENTROPY_H
#define MACHINE_ENTROPY_H

#include <stddef.h>

#include "base/check.h"

/* More than a page is nothing that the kernel's pool could hold.  32 bytes are enough. */
#define ENTROPY_MAX 4096u

/*
 * Credits BYTES to the kernel's generator and has it reseed at once: two clones of one guest that
 * got different bytes do not draw the same numbers.  0 or -errno; takes CAP_SYS_ADMIN.  Blocks
 * for some microseconds.  Thread: any.
 */
MUST_CHECK int entropy_add(const void *bytes, size_t len);

#endif
