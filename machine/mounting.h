/*
 * machine/mounting.h - mounts as mount(8) takes them
 *
 * Thread: worker, or PID 1 before it has one.
 */
#ifndef MACHINE_MOUNTING_H
#define MACHINE_MOUNTING_H

#include "base/check.h"

/* The flags in the options TEXT; the rest of it, in DATA of the same size, is for the file system. */
unsigned long mounting_parse(const char *text, char *data);

/*
 * Makes the directory, and those above it.  A file can be bound over a file: where there is something,
 * nothing is made.  0 or -errno.
 */
MUST_CHECK int mounting_target(const char *target);

/* In the steps that mount(2) wants.  0 or -errno. */
MUST_CHECK int mounting_do(const char *source, const char *target, const char *type,
	unsigned long flags, const char *data);

#endif
