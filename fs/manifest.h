/*
 * fs/manifest.h - the manifest of a tree: what its hash is the hash of
 *
 * For each entry, in the order of fs.tree,
 *
 *	TYPE MODE SIZE CONTENT PATH NUL TARGET NUL
 *
 * with one space between the first five: the type as in an Entry; the mode in four octal digits; of a
 * file its size and its own SHA-256, of all else 0 and -; the path from the top on; where a link leads,
 * of a device MAJOR:MINOR, of all else nothing.  Owners and times are no part of it.
 *
 * Thread: worker.
 */
#ifndef FS_MANIFEST_H
#define FS_MANIFEST_H

#include <stdint.h>
#include <sys/stat.h>

#include "guestd/sha256.h"

/*
 * One entry more.  SIZE and HEX are those of what was read of a file, and of no meaning for all else;
 * TARGET is NULL of what is no link.
 */
void manifest_add(struct sha256 *manifest, const struct stat *st, const char *below,
	const char *target, uint64_t size, const char *hex);

#endif
