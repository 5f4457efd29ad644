/*
 * fs/glob.h - patterns for names and paths
 *
 * Of names: `*` any bytes, `?` one, `[a-z]`, `[!a-z]` one of a set, `\` takes the next literally.
 *
 * Of paths, as in gitignore(5): a pattern without a slash, but at its end, is for a name anywhere;
 * one with a slash is for a path below the root: `/build`, `doc/x*.o`.  `**` stands for any number of
 * directories, a slash at the end for directories alone, `!` in front takes back what an earlier
 * pattern said: the last that matches decides.  What is in an ignored directory is not looked at.
 *
 * Bytes are bytes, whatever the encoding.  The time is bounded by the product of the two lengths.
 */
#ifndef FS_GLOB_H
#define FS_GLOB_H

#include <stdbool.h>

#include "proto/args.h"
#include "proto/err.h"

/* Does the name TEXT match? */
bool glob_name(const char *pattern, const char *text);

/*
 * Is the entry ignored?  BELOW is its path from the root, without a slash in front; DIR: it is a
 * directory.  PATTERNS may be left out.
 */
bool glob_ignored(const struct strs *patterns, const char *below, bool dir);

/* For the parameter called NAME: 0, or ERR_LIMIT where there are too many or they are too long. */
MUST_CHECK int glob_check(const struct strs *patterns, const char *name, struct failure *f);

#endif
