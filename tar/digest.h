/*
 * tar/digest.h - the SHA-256 of what a step fills its block with, computed beside the filling
 *
 * On one thread it would cost a plain archive half of its speed.
 *
 * Owner: the call's state.  Thread: worker, one at a time.
 */
#ifndef TAR_DIGEST_H
#define TAR_DIGEST_H

#include "guestd/sha256.h"
#include "tar/team.h"

struct digest {
	/* private */
	struct task task;
	struct team team;
	struct sha256 sha;
	const char *bytes; /* of the task */
	size_t len, given; /* of the task; of the block, all that was given away */
};

void digest_begin(struct digest *d);

/* The block is filled up to LEN: somebody else may begin with it. */
void digest_follow(struct digest *d, const char *block, size_t len);

/* All LEN bytes of it are in, and the block is nobody's: the next one may come. */
void digest_catch_up(struct digest *d, const char *block, size_t len);

/* Waits for who is at it; may be called on a zeroed one. */
void digest_fini(struct digest *d);

#endif
