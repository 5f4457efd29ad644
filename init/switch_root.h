/*
 * init/switch_root.h - from the initramfs to another root
 *
 * Thread: the only one there is.
 */
#ifndef INIT_SWITCH_ROOT_H
#define INIT_SWITCH_ROOT_H

#include "base/check.h"

/*
 * The file system that is mounted on the directory PATH becomes the root.  /dev, /proc, /sys and /run
 * move there, so it has directories of these names, or they can be made; the rest of the initramfs is
 * deleted, which gives its memory back.  What was opened in there stays, the running program among it.
 *
 * 0; or -errno after an error in the log: then all is as it was before.
 */
MUST_CHECK int switch_root(const char *path);

#endif
