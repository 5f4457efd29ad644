/*
 * fs/output.h - a file that is being written: all or nothing, or in place
 *
 *	err = output_open(&o, a, owner, dirs, f);
 *	err = output_write(&o, bytes, len, &used, f);	// -EAGAIN: output_wait, then again
 *	err = output_commit(&o, f);
 *	output_close(&o);			// what was not committed leaves no trace
 *
 * All or nothing is a file of its own in the same directory, without a name where the file system
 * can do that, which takes the place of the old one at the end; it has the old one's mode, owner and
 * extended attributes.  Where that is not possible (a device, a fifo, procfs, a file that is mounted,
 * a directory that the user may not write, an owner that it may not give) the file itself is written.
 *
 * Errors fill a struct failure.  Owner: the caller.  Thread: worker.
 */
#ifndef FS_OUTPUT_H
#define FS_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fs/path.h"
#include "fs/place.h"
#include "guestd/sha256.h"
#include "guestd/steps.h"
#include "proto/args.h"
#include "proto/err.h"

/* A number that was not given. */
#define OUTPUT_UNSET UINT64_MAX

/* Parameters, for ARG_INCLUDE. */
struct output_args {
	const char *path, *sha256;
	uint64_t mode, offset, size;
	int64_t mtime_us; /* INT64_MIN: not given */
	bool append, create, exclusive, parents, atomic, sync, hash;
};
extern const struct arg output_table[];

/* What cannot be meant: 0, or ERR_BAD_PARAMS with F filled. */
int output_check(const struct output_args *a, struct failure *f);

/* What one file after another need not find out anew: their directories, kept open, above all. */
#define OUTPUT_DIRS 8
struct output_dirs {
	struct {
		const char *path; /* borrowed: the directory is the first LEN bytes */
		size_t len;
		int fd;
	} dir[OUTPUT_DIRS];
	unsigned n;
	bool can_link; /* found out once */
};

struct output {
	/* out */
	bool atomic;
	uint64_t size;           /* written */
	char digest[SHA256_HEX]; /* once committed, with args->hash */

	/* private */
	const struct output_args *args;
	const struct path_owner *owner;
	struct output_dirs *dirs;
	struct place place;
	bool own_dir;  /* the place's; else one of `dirs` */
	bool followed; /* a link: it is the directory of its target */
	bool named;    /* the file that is written stands under place.temp */
	bool existed;  /* what is at the place, or was: */
	struct stat old;
	int old_fd;
	int fd;
	bool hashed;
	struct sha256 hash;
};

/*
 * ARGS, OWNER (NULL: as it comes) and DIRS (NULL: none are kept) are borrowed until the close.
 * To be closed in any case.
 */
MUST_CHECK int output_open(struct output *o, const struct output_args *args,
	const struct path_owner *owner, struct output_dirs *dirs, struct failure *f);

/* Some of LEN bytes; adds to USED how many.  -EAGAIN, without a failure: none just now. */
MUST_CHECK int output_write(
	struct output *o, const char *bytes, size_t len, size_t *used, struct failure *f);

/* Waits until it takes some, but not long. */
void output_wait(const struct output *o);

/* The file is complete: checks what was said of it, and puts it into its place. */
MUST_CHECK int output_commit(struct output *o, struct failure *f);

/* What methods in steps share: all of BYTES from USED on, or STEP_MORE; and the end with the result. */
MUST_CHECK int output_feed(struct output *o, struct step *s, const char *bytes, size_t len,
	size_t *used, struct failure *f);
MUST_CHECK int output_finish(struct output *o, struct work *w);

void output_close(struct output *o);
void output_dirs_close(struct output_dirs *dirs);

#endif
