/*
 * ctl/remote.h - paths of the guest on the command line
 *
 * What these return is owned by the caller.
 */
#ifndef CTL_REMOTE_H
#define CTL_REMOTE_H

#include <stdbool.h>
#include <stddef.h>

#include "ctl/command.h"

#define USER_OPTION "  -u USER       with the rights of USER, UID, USER:GROUP or UID:GID\n"

/* The last name of PATH, without slashes behind it: NULL where it has none, as `/`, `.` and `..`. */
char *path_name(const char *path);

/* DIR/NAME. */
char *path_join(const char *dir, const char *name);

/* Does PATH say itself that it is a directory: does it end in a slash, `.` or `..`? */
bool path_is_dir(const char *path);

/*
 * Where FROM goes, as with cp(1): to TO, or below it under its own last name where TO is a
 * directory of the guest, or says so.  0 with *PATH, or an exit status.
 */
MUST_CHECK int remote_target(
	struct ctl *ctl, const char *user, const char *from, const char *to, char **path);

/* ONE for each of N paths, from `argv + optind` on.  The exit status. */
int remote_each(struct ctl *ctl, int n, char **paths,
	int (*one)(struct ctl *ctl, const char *path, void *ctx), void *ctx);

#endif
