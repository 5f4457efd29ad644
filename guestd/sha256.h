/*
 * guestd/sha256.h - SHA-256, as the wire tells it
 *
 * A thin cover for nettle, whose own names begin with sha256_ too: these avoid them.
 *
 * Thread: one at a time.
 */
#ifndef GUESTD_SHA256_H
#define GUESTD_SHA256_H

#include <stddef.h>

#include <nettle/sha2.h>

/* The digest in hexadecimal and a NUL. */
#define SHA256_HEX (2 * SHA256_DIGEST_SIZE + 1)

/* Holds no memory of its own: nothing is to be freed. */
struct sha256 {
	struct sha256_ctx ctx;
};

void sha256_begin(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *bytes, size_t len);

/* The digest of all that was added, in lower case; S begins anew. */
void sha256_hex(struct sha256 *s, char hex[SHA256_HEX]);

#endif
