/*
 * ctl/draft.h - what takes its place only once it is whole
 *
 * Whatever a guest calls its files, and whatever links stand here already: NAME is one of directory
 * DIR itself, and nothing is written through what is called so.
 */
#ifndef CTL_DRAFT_H
#define CTL_DRAFT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

/* A file that nobody sees before it is whole. */
struct draft {
	int fd;
	char name[48]; /* of what has one meanwhile; "" where it needs none */
};

/* In directory DIR.  0 or -errno. */
MUST_CHECK int draft_open(struct draft *d, int dir);

/* As NAME, with MODE, instead of what is called so.  0 or -errno; closed in both cases. */
MUST_CHECK int draft_keep(struct draft *d, int dir, const char *name, unsigned mode);
void draft_drop(struct draft *d, int dir);

/*
 * A symbolic link as NAME; another name of OLD, in directory OLD_DIR: instead of what is called so
 * and is no directory.  0 or -errno.
 */
MUST_CHECK int draft_symlink(int dir, const char *name, const char *target);
MUST_CHECK int draft_link(int dir, const char *name, int old_dir, const char *old);

/*
 * Does a symbolic link to TARGET, in a directory DEPTH below the root, stay inside?  Only with `..`
 * at its beginning: behind a name, which may be another link, nobody knows where `..` leads.
 */
bool link_inside(const char *target, uint32_t depth);

#endif
