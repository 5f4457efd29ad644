/*
 * tar/extract.h - the entries of an archive, made below a directory
 *
 *	err = extract_begin(&x, root, &how, f);
 *	err = extract_entry(&x, &reader, f);		// TAR_ENTRY
 *	err = extract_data(&x, at, bytes, len, f);	// TAR_DATA, of a file
 *	err = extract_done(&x, f);			// TAR_DONE
 *	err = extract_finish(&x, stop, ctx);		// the directories, in the end
 *	extract_end(&x);				// a file that is not complete is removed
 *
 * The archive is not trusted, nor is whoever may write to the directory meanwhile: names are
 * resolved by descriptor (below.h), what gets an owner or a mode is what was just made.  A file
 * takes the place of an old one when it is complete; nothing is written through what is there.
 *
 * Errors fill a struct failure.  Owner: the caller.  Thread: worker, one at a time.
 */
#ifndef TAR_EXTRACT_H
#define TAR_EXTRACT_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "fs/path.h"
#include "guestd/users.h"
#include "tar/below.h"
#include "tar/late.h"
#include "tar/reader.h"

struct extract_how {
	const char *path;               /* what the directory is called */
	const struct path_owner *owner; /* of what is made; NULL: */
	bool archive_owner;             /* it is the archive's; else as it comes */
	bool keep_root;                 /* the directory itself stays as it is */
	bool keep_links, devices, overwrite;
	uint64_t strip;
};

struct extract {
	/* out */
	uint64_t files; /* all but directories; hard links count each */
	uint64_t bytes; /* their contents, holes among it */
	uint64_t stripped;
	unsigned lost; /* a set of ATTRS_LOST (fs/attrs.h) and EXTRACT_LOST */
	const char
		*path; /* of the entry, clean; "": the directory itself.  NULL: it was stripped */

	/* private */
	const struct extract_how *how;
	struct below below, links;
	struct late late;
	const struct users *users;
	char *clean, *clean_target; /* TAR_NAME_MAX + 1 bytes each */
	const struct tar_entry *entry;
	struct tar_reader *reader;
	/* Where it is made: NAME in DIR, under a name of its own while something else has that. */
	int dir;
	char name[NAME_MAX + 1], temp[32];
	bool made, replaces;
	bool existed; /* a directory that was there */
	int fd;       /* of a file */
	uint64_t end;
};

#define EXTRACT_LOST_FLAGS 32u

/* HOW is borrowed.  Consumes ROOT.  extract_end in any case. */
MUST_CHECK int extract_begin(
	struct extract *x, int root, const struct extract_how *how, struct failure *f);

MUST_CHECK int extract_entry(struct extract *x, struct tar_reader *r, struct failure *f);
MUST_CHECK int extract_data(
	struct extract *x, uint64_t at, const char *bytes, size_t len, struct failure *f);
MUST_CHECK int extract_done(struct extract *x, struct failure *f);

/* As late_apply(). */
MUST_CHECK int extract_finish(struct extract *x, bool (*stop)(const void *ctx), const void *ctx);

void extract_end(struct extract *x);

#endif
