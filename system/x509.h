/*
 * system/x509.h - as much of X.509 as a directory of certificates wants
 *
 * OpenSSL finds a CA by the hash of its subject: HASH.N in a directory (openssl-rehash(1)).  The hash is of
 * the canonical encoding of the name, so that letter case, blanks and the kind of string do not matter.
 *
 * Thread: any.
 */
#ifndef SYSTEM_X509_H
#define SYSTEM_X509_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

/* A certificate longer than that is none. */
#define X509_MAX (64u << 10)

/*
 * The hash of the subject of the certificate DER: what `openssl x509 -hash` prints as %08x.  0; -EINVAL
 * for what is no certificate, in its outer shape; -ENOMEM.
 */
MUST_CHECK int x509_subject_hash(const void *der, size_t len, uint32_t *hash);

#endif
