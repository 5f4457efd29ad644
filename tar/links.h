/*
 * tar/links.h - which files of a tree have a name already: for hard links
 *
 * A table of (device, inode) with the first name of each.  Bounded for one call and for all (limits.h):
 * what comes then is not remembered.
 *
 * Owner: the call's state.  Thread: worker, one at a time.
 */
#ifndef TAR_LINKS_H
#define TAR_LINKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/check.h"

struct links {
	bool lost; /* out: one was not remembered */

	/* private */
	struct link_slot *slot; /* open addressing; a power of two of them */
	size_t n, n_slots;
	char *names;
	size_t names_len, names_size;
	size_t charged;
};

/*
 * The name that this file was told under before: valid until the next call.  NULL: this is the first,
 * and NAME is remembered.
 */
const char *links_find(struct links *l, const struct stat *st, const char *name);

/* May be called on a zeroed one. */
void links_fini(struct links *l);

#endif
