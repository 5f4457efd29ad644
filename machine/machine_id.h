/* machine/machine_id.h - which machine this is (machine-id(5)) */
#ifndef MACHINE_MACHINE_ID_H
#define MACHINE_MACHINE_ID_H

#include "base/check.h"

/* Another one, drawn by the kernel's generator: reseed it first.  0 or -errno.  Thread: worker. */
MUST_CHECK int machine_id_renew(void);

#endif
