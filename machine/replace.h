/* machine/replace.h - small files of the system, as a whole */
#ifndef MACHINE_REPLACE_H
#define MACHINE_REPLACE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/check.h"

/*
 * The file at PATH, or what its link points to, becomes TEXT: a file beside it takes its name, so
 * that readers see the one or the other.  One that is mounted over is written in place.  0 or -errno.
 * Thread: worker.
 */
MUST_CHECK int replace_file(const char *path, const char *text, size_t len, mode_t mode);

#endif
