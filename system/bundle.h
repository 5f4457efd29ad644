/*
 * system/bundle.h - a file of certificates, and the one among them that is ours
 *
 * Ours has a line "# guestd: NAME" before it; "# guestd: NAME +" where the newline before it had to be
 * added too.  Programs pass over such lines, and the tools that put bundles together copy them.
 *
 * Thread: worker.
 */
#ifndef SYSTEM_BUNDLE_H
#define SYSTEM_BUNDLE_H

#include "base/check.h"

/* The file holds nothing else. */
#define BUNDLE_ALONE 1u

/*
 * PEM instead of what bears NAME, in one step; NULL: instead of nothing, and a file that is empty
 * then is removed.  A certificate that is there without our line stays alone.  The file keeps its mode and
 * owner, and is not touched where nothing changes.  0 or -errno.
 */
MUST_CHECK int bundle_update(const char *path, const char *name, const char *pem, unsigned flags);

/* Does it begin with what bears NAME?  1, 0, or -errno. */
MUST_CHECK int bundle_bears(const char *path, const char *name);

#endif
