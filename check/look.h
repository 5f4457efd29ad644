/*
 * check/look.h - names in a directory
 *
 * Thread: any.
 */
#ifndef CHECK_LOOK_H
#define CHECK_LOOK_H

#include <dirent.h>
#include <stddef.h>

/*
 * The next name in DIR that fits PATTERN (fnmatch(3)), without those that begin with a dot unless it does
 * so; NULL behind the last, or where there is no DIR.  *STATE is NULL before the first, and again behind the
 * last: a walk goes to its end.
 */
const char *look_next(DIR **state, const char *dir, const char *pattern);

/* How many there are. */
size_t look_count(const char *dir, const char *pattern);

#endif
