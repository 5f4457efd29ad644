/* guestd/sha1.c - SHA-1 */
#include "guestd/sha1.h"

#include <nettle/sha1.h>

#include "base/check.h"

BUILD_ASSERT(SHA1_BYTES == SHA1_DIGEST_SIZE);

void sha1(const void *bytes, size_t len, unsigned char digest[SHA1_BYTES])
{
	struct sha1_ctx ctx;

	sha1_init(&ctx);
	sha1_update(&ctx, len, bytes);
	sha1_digest(&ctx, SHA1_BYTES, digest);
}
