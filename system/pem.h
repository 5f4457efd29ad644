/*
 * system/pem.h - one certificate between -----BEGIN CERTIFICATE----- and its end (RFC 7468)
 *
 * Thread: any.
 */
#ifndef SYSTEM_PEM_H
#define SYSTEM_PEM_H

#include <stddef.h>
#include <sys/types.h>

#include "base/check.h"

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----\n"
#define PEM_END   "-----END CERTIFICATE-----\n"

/*
 * The one certificate in TEXT, into DER, which has room for LEN bytes; text around it is passed over.  Its
 * length; or -EINVAL, with a sentence in *WHY: none, several, something else, no base64.
 */
MUST_CHECK ssize_t pem_decode(const char *text, size_t len, unsigned char *der, const char **why);

/* As PEM, in lines of 64, with a NUL: OUT has PEM_SIZE(len) bytes.  Its length. */
#define PEM_SIZE(len) (sizeof(PEM_BEGIN) + sizeof(PEM_END) + ((len) + 2) / 3 * 4 + (len) / 48 + 2)
size_t pem_encode(const unsigned char *der, size_t len, char *out);

#endif
