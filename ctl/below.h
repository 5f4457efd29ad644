/*
 * ctl/below.h - a directory of ours, and nothing outside of it
 *
 * Whatever a guest calls its files, and whatever links stand here already: each step goes by openat
 * from the directory above and follows no symbolic link.
 */
#ifndef CTL_BELOW_H
#define CTL_BELOW_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/check.h"
#include "ctl/nodes.h"

struct below {
	const struct nodes *nodes;
	int root;    /* O_PATH; owned */
	uint32_t at; /* the directory that was asked for last, */
	int fd;      /* and its descriptor, or the root's; owned where it is another */
};

/* Consumes ROOT, a descriptor of node 0. */
void below_init(struct below *b, const struct nodes *nodes, int root);
void below_fini(struct below *b);

/* An O_PATH descriptor of node DIR, borrowed until the next call; or -errno. */
MUST_CHECK int below_dir(struct below *b, uint32_t dir);

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

/* A symbolic link as NAME, instead of what is called so and is no directory.  0 or -errno. */
MUST_CHECK int below_symlink(int dir, const char *name, const char *target);

/*
 * Does a symbolic link to TARGET, in a directory DEPTH below the root, stay inside?  Only with `..`
 * at its beginning: behind a name, which may be another link, nobody knows where `..` leads.
 */
bool below_inside(const char *target, uint32_t depth);

#endif
