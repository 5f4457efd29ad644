/*
 * proto/err.h - the closed set of error codes
 *
 * One int tells every outcome: 0, a negative errno for what the kernel refused, or one of the
 * positive codes below for what the protocol names itself.
 */
#ifndef PROTO_ERR_H
#define PROTO_ERR_H

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

/* "ENOENT" for -ENOENT, "bad_params" for ERR_BAD_PARAMS.  Static, never NULL. */
const char *err_name(int err);

#endif
