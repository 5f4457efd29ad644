/*
 * init/mounts.h - the file systems that every program takes for granted
 *
 * Thread: the only one there is.
 */
#ifndef INIT_MOUNTS_H
#define INIT_MOUNTS_H

#include <stdbool.h>

/*
 * Mounts /dev alone: without it there is nothing to log to.  False where the kernel does not know
 * devtmpfs: there is an empty tmpfs then, and somebody has to make nodes in it.
 */
bool mounts_dev(void);

/*
 * Mounts what is not mounted yet and makes the links in /dev.  A failure is logged and the rest
 * goes on: a guest without /dev/shm is worth more than none.
 */
void mounts_all(void);

/*
 * What is mounted from now on appears in the mount namespaces of containers, too, as where systemd
 * is the init: they expect it.  Not before a root is moved, which the kernel then refuses.
 */
void mounts_share(void);

#endif
