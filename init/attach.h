/*
 * init/attach.h - file systems on devices, mounted when the device is there
 *
 * Thread: the only one there is.
 */
#ifndef INIT_ATTACH_H
#define INIT_ATTACH_H

#include <stdbool.h>

#include "base/check.h"
#include "init/device.h"

struct attach {
	const char *source;  /* a device as device.h has it, else what the type makes of it */
	const char *target;  /* which is there */
	const char *type;    /* NULL, "" or "auto": found out */
	const char *options; /* as of mount(8); NULL: none */
	bool read_only;
	unsigned wait_s; /* for a device, or the tag of a virtiofs or 9p */
	/* set: */
	char device[DEVICE_PATH_MAX]; /* "" where it is none */
};

/*
 * Mounts it.  A device that cannot be written to is mounted read-only, which is said.  0; or -errno,
 * after an error in the log.
 */
MUST_CHECK int attach(struct attach *a);

#endif
