/*
 * tar/below.h - names of an archive, resolved below a directory: nothing leads out of it
 *
 *	below_begin(&b, root);				// consumes it
 *	dir = below_dir(&b, "usr/lib", 7, true, f);	// O_PATH; stays b's
 *	below_end(&b);
 *
 * By descriptor, component by component, and through no symbolic link: neither one of the archive
 * nor one that was there, nor one that somebody puts there meanwhile.
 *
 * Owner: the caller.  Thread: worker.
 */
#ifndef TAR_BELOW_H
#define TAR_BELOW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"
#include "fs/path.h"

struct below {
	int root;
	const struct path_owner *owner; /* of directories that are made; NULL: as it comes */
	/* Of a link on the way: bytes of the path up to and with it; 0: none. */
	size_t link_len;

	/* private */
	int dir;    /* the last that was asked for; -1: none */
	char *path; /* owned */
	size_t len, size;
};

void below_begin(struct below *b, int root);
void below_end(struct below *b);

/*
 * The directory PATH (LEN bytes, clean; 0: the root itself) as a descriptor that lives until the
 * next call.  MAKE: what is not there is made, 0755.  -errno: -ELOOP where a symbolic link is on the
 * way.
 */
MUST_CHECK int below_dir(struct below *b, const char *path, size_t len, bool make);

/* The same for the directory itself, opened anew: the caller's. */
MUST_CHECK int below_open(const struct below *b, const char *path);

/* NAME as it stands in an archive, without "." and empty parts and the first STRIP others. */
enum below_clean {
	BELOW_CLEAN,    /* in OUT: maybe "", the root itself */
	BELOW_STRIPPED, /* nothing is left */
	BELOW_ABSOLUTE, /* it is absolute, or has "..": not to be used */
	BELOW_DOTDOT,
};
enum below_clean below_clean(const char *name, size_t strip, char *out);

/*
 * TARGET of a link that stands at PATH, clean: it leads to a place below the root, whatever other
 * such links are there.  ROOT_PATH is what the root is called, for absolute ones.
 */
bool below_is_inside(const char *target, const char *path, const char *root_path);

#endif
