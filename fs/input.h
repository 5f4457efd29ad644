/*
 * fs/input.h - a file that is being read: whatever it is, without being held up by it
 *
 *	err = input_open(&in, path, offset, length, f);
 *	n = input_read(&in, buf, len, f);	// 0: the end; -EAGAIN: input_wait, then again
 *	input_close(&in);
 *
 * It is read to its end, whatever its size is said to be: procfs says 0, and some files grow.  A
 * fifo that nobody writes to is waited for, as open(2) would.
 *
 * Errors fill a struct failure.  Owner: the caller.  Thread: worker.
 */
#ifndef FS_INPUT_H
#define FS_INPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/check.h"
#include "guestd/steps.h"
#include "proto/err.h"

/* Of a length: all there is. */
#define INPUT_ALL UINT64_MAX

struct input {
	uint64_t size; /* st_size, for what it is worth */
	bool live;     /* fifo, terminal, ...: what was read is gone, and more may come */

	/* private */
	const char *path;
	int fd;
	bool fifo;
	uint64_t left;
};

/* PATH is borrowed until the close, which is due in any case.  0 or an error. */
MUST_CHECK int input_open(
	struct input *in, const char *path, uint64_t offset, uint64_t length, struct failure *f);

/* Bytes, 0 at the end of the file or of the length, or an error; -EAGAIN without a failure. */
MUST_CHECK ssize_t input_read(struct input *in, char *buf, size_t len, struct failure *f);

/*
 * Is it worth while to send it without a copy?  What is small is not, and what says nothing of its
 * size, such as procfs, may not be able to.
 */
bool input_is_large(const struct input *in);

/* As input_read, into the block of S (step_splice).  An error: read it instead. */
MUST_CHECK ssize_t input_splice(struct input *in, struct step *s);

/* Waits until there is something, but not long. */
void input_wait(const struct input *in);

/* Nothing follows what was read?  Asked of what is not live. */
bool input_at_end(const struct input *in);

void input_close(struct input *in);

#endif
