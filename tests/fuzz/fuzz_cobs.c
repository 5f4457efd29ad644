/*
 * tests/fuzz/fuzz_cobs.c - proto/cobs: any line is decoded or dropped, any message comes back
 */
#include "proto/cobs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/fuzz/fuzz.h"

static uint8_t *copy_of(const uint8_t *bytes, size_t len, size_t room)
{
	uint8_t *copy = malloc(room + !room);

	ASSERT(copy);
	if (len)
		memcpy(copy, bytes, len);
	return copy;
}

/* The input as a line: decoded elsewhere and in place alike, and what came out goes back in. */
static void as_line(const uint8_t *bytes, size_t len)
{
	uint8_t *out = copy_of(bytes, 0, len);
	uint8_t *in_place = copy_of(bytes, len, len);
	ssize_t n = cobs_decode(bytes, len, out);

	ASSERT(cobs_decode(in_place, len, in_place) == n);
	if (n < 0) {
		ASSERT(n == -EBADMSG);
	} else {
		uint8_t *again = copy_of(out, 0, COBS_MAX((size_t)n));
		size_t again_len = cobs_encode(out, (size_t)n, again);

		ASSERT((size_t)n < len && memcmp(out, in_place, (size_t)n) == 0);
		/* At most a code behind a full run at the very end is left out. */
		ASSERT(again_len == len || (again_len + 1 == len && bytes[len - 1] == 1));
		ASSERT(memcmp(again, bytes, again_len) == 0);
		free(again);
	}
	free(out);
	free(in_place);
}

static void as_serial_line(const uint8_t *bytes, size_t len)
{
	uint8_t *line = copy_of(bytes, len, len);
	ssize_t n = serial_frame_decode(line, len);

	ASSERT(n == -EBADMSG || (n > 0 && (size_t)n + 4 < len));
	free(line);
}

/* The input as a message: no zero on the line, and back again. */
static void as_message(const uint8_t *bytes, size_t len)
{
	uint8_t *message = copy_of(bytes, len, len + 4);
	uint8_t *line = copy_of(bytes, 0, SERIAL_FRAME_MAX(len));
	size_t n = serial_frame_encode(message, len, line);

	ASSERT(n <= SERIAL_FRAME_MAX(len) && line[0] == 0 && line[n - 1] == 0);
	ASSERT(!memchr(line + 1, 0, n - 2));
	ASSERT(serial_frame_decode(line + 1, n - 2) == (len ? (ssize_t)len : -EBADMSG));
	ASSERT(len == 0 || memcmp(line + 1, bytes, len) == 0);
	free(message);
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	as_line(bytes, len);
	as_serial_line(bytes, len);
	as_message(bytes, len);
	return 0;
}
