/*
 * init/device.h - block devices by what they are called, or hold
 *
 * Thread: the only one there is.
 */
#ifndef INIT_DEVICE_H
#define INIT_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

/* "/dev/" and a name of the kernel's. */
#define DEVICE_PATH_MAX 64

/* Is SPEC a block device, /dev/..., UUID=, LABEL= or PARTUUID=?  Otherwise it is a tag or a path. */
bool device_is_spec(const char *spec);

/*
 * Waits until it is there, WAIT_S seconds at most; *PATH is its node.  0; -ENODEV, said in the log with
 * the devices that there are.
 */
MUST_CHECK int device_wait(const char *spec, unsigned wait_s, char path[DEVICE_PATH_MAX]);

#endif
