/*
 * ctl/nodes.h - what a directory tree holds, of the guest's or of ours, in little memory
 *
 * A node comes behind its parent; node 0 is the root, whose name is not part of any path.
 */
#ifndef CTL_NODES_H
#define CTL_NODES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/check.h"
#include "ctl/ask.h"
#include "ctl/command.h"
#include "proto/val.h"

enum node_type { NODE_FILE, NODE_DIR, NODE_SYMLINK, NODE_OTHER };

struct node {
	uint64_t size;         /* of a file */
	uint32_t parent;       /* index; the root's is itself */
	uint32_t depth;        /* the root's is 0 */
	uint32_t name, target; /* offsets into the text; a target only of a symlink */
	uint16_t mode;         /* 0777 of it */
	uint8_t type;          /* enum node_type */
	bool failed;           /* so is whatever is below */
	bool made;             /* a directory that was not there before */
};

struct nodes {
	struct node *list; /* owned */
	uint32_t n, cap;
	struct buf text; /* names and targets, each ended by a NUL */
	uint64_t bytes;  /* of all files */
};

/* With the root, a directory of MODE. */
void nodes_init(struct nodes *nodes, unsigned mode);
void nodes_fini(struct nodes *nodes);

struct node_info {
	enum node_type type;
	unsigned mode;
	uint64_t size;
	const char *name, *target; /* target: NULL, or of a symlink */
	size_t name_len, target_len;
};

/* Below node PARENT.  0, or -ENOBUFS: there are more than anybody can have meant. */
MUST_CHECK int nodes_add(struct nodes *nodes, uint32_t parent, const struct node_info *info);

/* Both live until the next nodes_add. */
const char *nodes_name(const struct nodes *nodes, uint32_t i);
const char *nodes_target(const struct nodes *nodes, uint32_t i);

/* Node I's path: that of the root is ROOT.  Owned by the caller. */
char *nodes_path(const struct nodes *nodes, uint32_t i, const char *root);

/* Is a node above I marked as failed?  Then I is marked, too. */
bool nodes_lost(struct nodes *nodes, uint32_t i);

/*
 * Adds the tree that fs.tree tells of with the parameters P.  Names that are none (a slash, `..`)
 * end it: what is added can be created below a directory.  0 or an exit status; *SKIPPED: the agent
 * could not look at all of it, and stderr has what.
 */
MUST_CHECK int nodes_fetch(struct nodes *nodes, struct ctl *ctl, struct params *p, bool *skipped);

#endif
