/*
 * fs/place.h - where something new is to stand: made beside it under a name of its own, then renamed
 *
 *	err = place_open(&p, path, parents);
 *	... mkdirat(p.dir.dir, p.temp) and whatever belongs into it ...
 *	err = place_publish(&p, overwrite);	// all of it at once
 *	place_close(&p);			// a place that got nothing: its parents are removed
 *
 * Owner: the caller.  Thread: worker.
 */
#ifndef FS_PLACE_H
#define FS_PLACE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/check.h"
#include "fs/path.h"

struct place {
	struct path at; /* its directory, open, with what was made for it */
	const char *whole;
	char name[NAME_MAX + 1];
	char temp[32]; /* no one else's in that directory */
	bool taken;    /* it got something: its parents stay */
};

/*
 * PATH is borrowed.  PARENTS: directories on the way that are not there are made.  0 or -errno;
 * -EBUSY for the root, -EINVAL for what ends in "." or "..".  To be closed in any case.
 */
MUST_CHECK int place_open(struct place *p, const char *path, bool parents);

/* Does the way to PATH lead through DIR, as far as it exists?  Nothing is made. */
bool place_is_within(const char *path, const struct stat *dir);

/* What stands there now, itself.  0 or -errno. */
MUST_CHECK int place_stat(const struct place *p, struct stat *st);

/*
 * NAME of DIR becomes it, in one step, and takes the place of what is there, as rename(2) has it;
 * without OVERWRITE -EEXIST if there is anything.  0 or -errno.
 */
MUST_CHECK int place_rename(struct place *p, int dir, const char *name, bool overwrite);

/* The same with `temp`. */
MUST_CHECK int place_publish(struct place *p, bool overwrite);

/* Another `temp`, where that one exists by chance. */
void place_new_temp(struct place *p);

void place_close(struct place *p);

#endif
