/* fs/content.c - what a file holds, copied into another one */
#include "fs/content.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* One step within the kernel; through our own memory, which is the stack. */
#define RANGE_STEP (1u << 20)
#define PLAIN_STEP (64u << 10)

/* How st_blocks counts, whatever the block size (stat(2)). */
#define STAT_BLOCK 512

void content_begin(struct content *c, int in, int out, const struct stat *st)
{
	c->in = in;
	c->out = out;
	c->pos = c->data_end = 0;
	c->in_failed = false;
	/* Files of the kernel's own have no size and no holes, and only read(2) works on them. */
	c->range = st->st_size > 0;
	c->holes = (uint64_t)st->st_blocks * STAT_BLOCK < (uint64_t)st->st_size;
	if (c->range && ioctl(out, FICLONE, in) == 0)
		c->pos = (uint64_t)st->st_size;
}

static int in_failed(struct content *c)
{
	c->in_failed = true;
	return -errno;
}

/* Finds the data behind pos, and makes the hole before it.  0 or -errno. */
static int skip_hole(struct content *c)
{
	off_t data = lseek(c->in, (off_t)c->pos, SEEK_DATA), end;
	struct stat st;

	if (data < 0 && errno == ENXIO) {
		/* A hole up to the end, or the end. */
		c->holes = false;
		if (fstat(c->in, &st) < 0)
			return in_failed(c);
		if ((uint64_t)st.st_size <= c->pos)
			return 0;
		c->pos = (uint64_t)st.st_size;
		return ftruncate(c->out, st.st_size) < 0 ? -errno : 0;
	}
	end = data < 0 ? -1 : lseek(c->in, data, SEEK_HOLE);
	if (end < 0) {
		c->holes = false; /* it cannot tell */
		return 0;
	}
	c->pos = (uint64_t)data;
	c->data_end = (uint64_t)end;
	return 0;
}

/* Bytes that it has copied; 0: this is not how these two can be copied; or -errno. */
static ssize_t copy_range(struct content *c, size_t len)
{
	off_t from = (off_t)c->pos, to = from;
	ssize_t n = copy_file_range(c->in, &from, c->out, &to, len, 0);

	if (n >= 0)
		return n;
	switch (errno) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return -errno;
	default:
		return 0; /* the plain way works, or has the right error */
	}
}

static ssize_t read_some(struct content *c, char *bytes, size_t len)
{
	ssize_t n;

	/* Some files of the kernel's own know read(2) but not pread(2), and cannot be sought in. */
	if (lseek(c->in, (off_t)c->pos, SEEK_SET) < 0 && errno != ESPIPE)
		return in_failed(c);
	do
		n = read(c->in, bytes, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? in_failed(c) : n;
}

/* Bytes, 0 at the end, or -errno. */
static ssize_t copy_plain(struct content *c, size_t len)
{
	char bytes[PLAIN_STEP];
	ssize_t have = read_some(c, bytes, MIN(len, sizeof(bytes))), done = 0;

	while (done < have) {
		ssize_t n =
			pwrite(c->out, bytes + done, (size_t)(have - done), (off_t)c->pos + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += n;
	}
	return have;
}

int content_step(struct content *c)
{
	size_t len = RANGE_STEP;
	ssize_t n = 0;

	if (c->holes && c->pos >= c->data_end) {
		int err = skip_hole(c);

		if (err < 0)
			return err;
	}
	if (c->holes)
		len = (size_t)MIN(len, c->data_end - c->pos);
	if (c->range)
		n = copy_range(c, len);
	if (n == 0) {
		/* The end; or the file is not what its size says. */
		c->range = false;
		n = copy_plain(c, len);
	}
	if (n < 0)
		return (int)n;
	c->pos += (uint64_t)n;
	/* Cut short while it is copied: the holes are not where they were. */
	if (n == 0 && c->holes) {
		c->holes = false;
		return CONTENT_MORE;
	}
	return n ? CONTENT_MORE : 0;
}
