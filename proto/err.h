/*
 * proto/err.h - the closed set of error codes
 *
 * One int tells every outcome: 0, a negative errno for what the kernel refused, or one of the
 * positive codes below for what the protocol names itself.
 */
#ifndef PROTO_ERR_H
#define PROTO_ERR_H

#include "base/check.h"

struct enc;

enum rpc_err {
	ERR_PROTOCOL = 1,
	ERR_BAD_REQUEST,
	ERR_UNKNOWN_METHOD,
	ERR_BAD_PARAMS,
	ERR_UNAUTHORIZED,
	ERR_NOT_FOUND,
	ERR_EXISTS,
	ERR_LIMIT,
	ERR_BUSY,
	ERR_TIMEOUT,
	ERR_CANCELED,
	ERR_UNSUPPORTED,
	ERR_DISABLED,
	ERR_GAP,
	ERR_FROZEN,
	ERR_INTERNAL,
	N_RPC_ERR,
};

struct buf;

/* An error on its way to the client: what failed, where, and a sentence that helps. */
struct failure {
	int err;
	const char *stage; /* static, or NULL */
	char path[4096];   /* "" = none; cut where longer than PATH_MAX, or than a frame */
	char message[256];
	const struct buf *data; /* one encoded value, borrowed; NULL: none */
};

/* Fills F; PATH and STAGE may be NULL.  Returns ERR, so that it can stand behind `return`. */
int failure_set(struct failure *f, int err, const char *stage, const char *path, const char *fmt,
	...) PRINTF(5, 6);

/* "ENOENT" for -ENOENT, "bad_params" for ERR_BAD_PARAMS.  Static, never NULL. */
const char *err_name(int err);

#endif
