/*
 * init/modules.h - the kernel modules of the image
 *
 * Thread: the only one there is.
 */
#ifndef INIT_MODULES_H
#define INIT_MODULES_H

/* One absolute path a line, in the order to load them; what follows a '#' is a comment. */
#define MODULES_ORDER "/lib/modules/guestd.order"

/*
 * Loads what MODULES_ORDER lists.  No such file means a kernel that has everything built in.  One
 * that cannot be loaded is logged and skipped.
 */
void modules_load(void);

#endif
