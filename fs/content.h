/*
 * fs/content.h - what a file holds, copied into another one: with as little work as the two allow
 *
 *	content_begin(&c, in, out);
 *	while ((err = content_step(&c)) == CONTENT_MORE)
 *		...			// canceled?  whose turn is it?
 *
 * In this order: the same blocks (FICLONE), within the kernel (copy_file_range(2)), read and write.
 * Holes stay holes.  Whatever st_size says, it ends where the file ends.
 *
 * Owner: who has both descriptors.  Thread: worker, one at a time.
 */
#ifndef FS_CONTENT_H
#define FS_CONTENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/check.h"

#define CONTENT_MORE 1

struct content {
	/* out */
	uint64_t pos;   /* how far it is copied, holes among it */
	bool in_failed; /* an error is of the file that is read */

	/* private */
	int in, out;
	uint64_t data_end; /* up to here there is no hole */
	bool holes;        /* `in` can tell where they are */
	bool range;        /* copy_file_range may work */
};

/* IN and OUT stand at their beginnings, OUT is empty; both are borrowed.  ST: of IN. */
void content_begin(struct content *c, int in, int out, const struct stat *st);

/* A little of it, for some milliseconds.  CONTENT_MORE, 0 at the end, or -errno. */
MUST_CHECK int content_step(struct content *c);

#endif
