/* fs/dive.c - beside a walk: the same directories elsewhere */
#include "fs/dive.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fd.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* Notes which directory fd is, at level DEPTH. */
static int note(struct dive *d, size_t depth, int fd)
{
	struct stat st;

	if (depth >= d->size) {
		size_t size = MAX(2 * d->size, 16);
		struct dive_level *level = realloc(d->level, size * sizeof(*level));

		if (!level)
			return -ENOMEM;
		d->level = level;
		d->size = size;
	}
	if (fstat(fd, &st) < 0)
		return -errno;
	d->level[depth] = (struct dive_level){.dev = st.st_dev, .ino = st.st_ino};
	return 0;
}

/* Takes FD over, and stands in it at DEPTH. */
static void stand(struct dive *d, size_t depth, int fd)
{
	fd_close(&d->fd);
	d->fd = fd;
	d->depth = depth;
}

int dive_start(struct dive *d, int fd)
{
	*d = (struct dive){.fd = fd};
	return note(d, 0, fd);
}

void dive_fini(struct dive *d)
{
	fd_close(&d->fd);
	free(d->level);
	*d = (struct dive){.fd = -1};
}

int dive_enter(struct dive *d, const char *name)
{
	int fd = openat(d->fd, name, OPEN_DIR), err;

	if (fd < 0)
		return -errno;
	err = note(d, d->depth + 1, fd);
	if (err)
		fd_close(&fd);
	else
		stand(d, d->depth + 1, fd);
	return err;
}

int dive_leave(struct dive *d)
{
	const struct dive_level *up = &d->level[d->depth - 1];
	int fd = openat(d->fd, "..", OPEN_DIR);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || st.st_dev != up->dev || st.st_ino != up->ino) {
		fd_close(&fd);
		return -ESTALE;
	}
	stand(d, d->depth - 1, fd);
	return 0;
}
