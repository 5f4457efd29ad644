/*
 * fs/mode.h - permissions by descriptor, never through a link
 *
 * Thread: worker.
 */
#ifndef FS_MODE_H
#define FS_MODE_H

#include <sys/types.h>

#include "base/check.h"

/* Of NAME in DIR, which may be anything but a link.  0 or -errno; -EOPNOTSUPP of a link. */
MUST_CHECK int mode_set(int dir, const char *name, mode_t mode);

#endif
