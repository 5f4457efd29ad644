/*
 * tar/xattrs.h - extended attributes and ACLs as records of a pax archive
 *
 * SCHILY.xattr.NAME with the value as it is; SCHILY.acl.access and SCHILY.acl.default with the text
 * of acl_to_text(3), ids as numbers: what GNU tar, bsdtar and star write and read.
 *
 * Thread: worker.
 */
#ifndef TAR_XATTRS_H
#define TAR_XATTRS_H

#include <stdbool.h>

#include "base/buf.h"

/* Of FD, open, or only held (O_PATH), which takes /proc. */
struct xattrs_of {
	int fd;
	bool held;
};

/*
 * Appends them to OUT, sorted by name.  PORTABLE: only those that mean the same on another machine:
 * user.*, capabilities, ACLs.  0, also where there is no such thing; or -errno, with OUT holding
 * those that could be read: -E2BIG where there are more than fit.
 */
MUST_CHECK int xattrs_records(struct xattrs_of of, bool portable, struct buf *out);

#endif
