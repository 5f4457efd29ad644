/*
 * tar/pack.h - a tree as the bytes of a pax archive, from the first entry on
 *
 *	err = pack_begin(&p, w, &options);
 *	while ((err = pack_fill(&p, s, room, len, &used)) == STEP_MORE)
 *		...
 *	pack_fini(&p);
 *
 * Contents are read straight to where the archive is wanted.  What cannot be read, or changes on the
 * way, is told and does not end it: a header has promised bytes, so that a file that shrinks is filled
 * with zeros, and of one that grows only what was there at first is stored.
 *
 * Owner: the call's state.  Thread: worker, one at a time.
 */
#ifndef TAR_PACK_H
#define TAR_PACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "fs/skipped.h"
#include "guestd/steps.h"
#include "tar/links.h"
#include "tar/pieces.h"
#include "tar/members.h"

struct pack_options {
	const struct members_args *members;
	const char *base; /* NULL: as of members.h */
	bool one_file_system;
	bool reproducible; /* the same bytes for the same tree, whatever inodes, times and owners, */
	bool keep_owner;   /* but for the owners, if they are to be kept */
	int64_t mtime_us;  /* of every entry then */
	bool names;        /* of users and groups */
};

struct pack {
	/* out */
	uint64_t files; /* all but directories; hard links count each */
	uint64_t bytes; /* their contents, holes among it; hard links count once */
	struct skipped skipped;
	struct links links; /* its `lost` */

	/* private */
	struct work *w;
	struct pack_options options;
	struct members members;
	struct buf head, records; /* bytes to be sent first; attributes on their way into it */
	const struct users *users;
	/* The file that is being read; -1: none. */
	int fd;
	char *path; /* what it is called, while it is told of */
	struct stat st;
	bool sparse, told;
	struct pieces pieces;
	size_t piece;    /* the next one */
	uint64_t left;   /* bytes to be read of the one at hand */
	uint64_t stored; /* of the whole file, for the padding */
	size_t zeros;    /* that are due, fewer than a block */
	bool ended;      /* the end is in `head` */
	dev_t plain_dev; /* a file system without extended attributes */
	bool has_plain_dev;
};

/* P is zeroed.  0, or an error with the failure of the call filled.  pack_fini() in any case. */
MUST_CHECK int pack_begin(struct pack *p, struct work *w, const struct pack_options *options);

/*
 * Up to LEN bytes into OUT, in USED how many.  STEP_MORE: also where step_due() asked for the
 * worker; 0: that was all; or an error, with the failure filled unless canceled.
 */
MUST_CHECK int pack_fill(struct pack *p, struct step *s, char *out, size_t len, size_t *used);

/* May be called on a zeroed one. */
void pack_fini(struct pack *p);

#endif
