/*
 * guestd/sha1.h - SHA-1, where a format of others asks for it; it protects nothing
 *
 * Thread: any.
 */
#ifndef GUESTD_SHA1_H
#define GUESTD_SHA1_H

#include <stddef.h>

#define SHA1_BYTES 20

void sha1(const void *bytes, size_t len, unsigned char digest[SHA1_BYTES]);

#endif
