/* fs/input.c - a file that is being read */
#include "fs/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/path.h"
#include "proto/limits.h"

/* What input_wait waits at most. */
#define WAIT_MS 50

/* Who has a lease on it is asked to give it up (fcntl(2)), and takes a moment. */
#define LEASE_TRIES   10
#define LEASE_WAIT_MS 10

/* From here on it pays to tell the kernel that all of it will be read. */
#define LARGE (256u << 10)

static int fail(const struct input *in, struct failure *f, int err, const char *stage)
{
	return failure_set(
		f, err, stage, in->path, "cannot %s %s: %s", stage, in->path, strerror(-err));
}

static int open_file(struct input *in)
{
	const int flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	struct path p;
	int err = path_open(in->path, &p);

	for (unsigned i = 0; !err && i < LEASE_TRIES; i++) {
		in->fd = openat(p.dir, p.name, flags);
		if (in->fd >= 0 || errno != EAGAIN)
			break;
		(void)poll(NULL, 0, LEASE_WAIT_MS);
	}
	if (!err && in->fd < 0)
		err = -errno;
	path_close(&p);
	return err;
}

int input_open(
	struct input *in, const char *path, uint64_t offset, uint64_t length, struct failure *f)
{
	struct stat st;
	int err;

	*in = (struct input){.path = path, .fd = -1, .left = length};
	err = open_file(in);
	if (err)
		return fail(in, f, err, "open");
	if (fstat(in->fd, &st) < 0)
		return fail(in, f, -errno, "open");
	if (S_ISDIR(st.st_mode))
		return fail(in, f, -EISDIR, "read");
	if (offset && lseek(in->fd, (off_t)offset, SEEK_SET) < 0)
		return fail(in, f, -errno, "seek");
	in->fifo = S_ISFIFO(st.st_mode);
	in->live = !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode);
	in->size = (uint64_t)st.st_size;
	if (!in->live && MIN(length, in->size) > LARGE)
		(void)posix_fadvise(in->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return 0;
}

/* Without a writer so far a fifo reads as if it were at its end; poll(2) knows better. */
static bool is_silent(const struct input *in)
{
	struct pollfd p = {.fd = in->fd, .events = POLLIN};

	return poll(&p, 1, 0) == 0;
}

ssize_t input_read(struct input *in, char *buf, size_t len, struct failure *f)
{
	ssize_t n;

	len = (size_t)MIN(len, in->left);
	if (!len)
		return 0;
	if (in->fifo && is_silent(in))
		return -EAGAIN;
	do
		n = read(in->fd, buf, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -EAGAIN : fail(in, f, -errno, "read");
	if (in->left != INPUT_ALL)
		in->left -= (uint64_t)n;
	return n;
}

bool input_is_large(const struct input *in)
{
	return !in->live && MIN(in->left, in->size) > LARGE;
}

ssize_t input_splice(struct input *in, struct step *s)
{
	ssize_t n = in->left ? step_splice(s, in->fd, (size_t)MIN(in->left, PIPE_BYTES)) : 0;

	if (n > 0 && in->left != INPUT_ALL)
		in->left -= (uint64_t)n;
	return n;
}

void input_wait(const struct input *in)
{
	struct pollfd p = {.fd = in->fd, .events = POLLIN};

	(void)poll(&p, 1, WAIT_MS);
}

bool input_at_end(const struct input *in)
{
	off_t pos = lseek(in->fd, 0, SEEK_CUR);
	char byte;

	/* The size of a regular file is certain only where it is not 0. */
	if (pos >= 0 && in->size)
		return (uint64_t)pos >= in->size;
	return read(in->fd, &byte, 1) == 0;
}

void input_close(struct input *in)
{
	fd_close(&in->fd);
}
