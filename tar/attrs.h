/*
 * tar/attrs.h - owner, mode, times, extended attributes and ACLs, as the archive has them
 *
 * What cannot be had is noted in x->lost; only an owner that the call asked for is an error, -errno.
 *
 * Thread: worker.
 */
#ifndef TAR_ATTRS_H
#define TAR_ATTRS_H

#include <sys/types.h>
#include <time.h>

#include "base/check.h"
#include "tar/extract.h"

/* Of the entry, to FD: all but mode and times; the mode that it shall have. */
MUST_CHECK int attrs_apply(struct extract *x, int fd, mode_t *mode);

/* All, to a file; to NAME in DIR, which is no file and was just made. */
MUST_CHECK int attrs_apply_file(struct extract *x, int fd);
MUST_CHECK int attrs_apply_at(struct extract *x, int dir, const char *name);

/* For futimens(3). */
void attrs_times(const struct tar_entry *e, struct timespec times[2]);

#endif
