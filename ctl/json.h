/*
 * ctl/json.h - values as JSON lines, and JSON as values
 *
 * JSON has no bytes: a bin is {"base64": "…"} in both directions, and so is a str that is not
 * UTF-8.  An object with that one member is always bytes.
 */
#ifndef CTL_JSON_H
#define CTL_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/buf.h"
#include "proto/val.h"

/* V as one line.  With TEXT, a bin that is UTF-8 is a string. */
void json_write(FILE *f, const struct val *v, bool text);

/* {"channel": CHANNEL, "data": BYTES} as one line; TEXT as above. */
void json_write_data(FILE *f, unsigned channel, const char *bytes, size_t len, bool text);

/* {"code": CODE, "message": MESSAGE} as one line. */
void json_write_error(FILE *f, const char *code, const char *message);

/*
 * Appends the msgpack of the JSON value TEXT to OUT.  0, -EINVAL with a sentence in WHY (of
 * WHY_LEN bytes), or -ENOBUFS.
 */
MUST_CHECK int json_read(const char *text, size_t len, struct buf *out, char *why, size_t why_len);

#endif
