/*
 * proc/artifacts.h - the files that a process was to produce, told with its exit
 *
 * They are opened and hashed on a worker, with the rights of the user that the process ran as:
 * a path that it turned into a link to what it may not read shows nothing.
 */
#ifndef PROC_ARTIFACTS_H
#define PROC_ARTIFACTS_H

#include <stddef.h>

#include "guestd/users.h"
#include "proto/args.h"
#include "proto/enc.h"

struct artifacts;

/*
 * Looks for PATHS, MAX_ARTIFACTS at most; those that do not begin with a slash are below CWD.
 * Regular files count, at the size that they have when they are opened.  DONE is called on the
 * loop, once, with OWNER.  PATHS must outlive the result; CWD and ACCOUNT are copied.  NULL when
 * no job can be queued.  Thread: loop, as all of this.
 */
struct artifacts *artifacts_start(const struct strs *paths, const char *cwd,
	const struct account *account, void (*done)(void *owner), void *owner);

/* After done(). */
void artifacts_free(struct artifacts *a);

/* The memory that it holds. */
size_t artifacts_bytes(const struct artifacts *a);

/* `[{path, size, sha256} | {path, missing: true, error}]`, for Exit. */
void artifacts_encode(const struct artifacts *a, struct enc *e);

#endif
