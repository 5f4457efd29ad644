/*
 * init/root.h - the guest's real root: keys root, rootfstype, rootflags, overlay, grow
 *
 * Thread: the only one there is.
 */
#ifndef INIT_ROOT_H
#define INIT_ROOT_H

/*
 * Mounts what the configuration names and changes to it.  Where that cannot be done, why is in the
 * log, and the root is as it was before: the initramfs, in which a host finds an agent that it can
 * ask what is wrong.
 */
void root_change(void);

/*
 * Mounts our program on GUESTD_BIN, read-only, so that `guestd emit` is found in a root that
 * has no guestd.  What it was started from may be deleted then.
 */
#define GUESTD_BIN "/run/guestd/bin/guestd"
void root_keep_program(void);

#endif
