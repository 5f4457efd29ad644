/* ctl/base64.h - base64 as in RFC 4648, with padding */
#ifndef CTL_BASE64_H
#define CTL_BASE64_H

#include <stddef.h>
#include <sys/types.h>

#define BASE64_LEN(len) (((len) + 2) / 3 * 4)

/* OUT has BASE64_LEN(len) bytes, all of which are written; no NUL. */
void base64_encode(const void *bytes, size_t len, char *out);

/* OUT has LEN / 4 * 3 bytes.  How many were written, or -EINVAL. */
ssize_t base64_decode(const char *text, size_t len, void *out);

#endif
