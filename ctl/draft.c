/* ctl/draft.c - what takes its place only once it is whole */
#include "ctl/draft.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

/* A name for what is not whole yet, another one each time. */
static void make_name(char *name, size_t len)
{
	static unsigned serial;

	snprintf(name, len, ".guestctl.%d.%u", (int)getpid(), serial++);
}

/* Of a file without a name, through which it gets one. */
static void proc_path(int fd, char *path, size_t len)
{
	snprintf(path, len, "/proc/self/fd/%d", fd);
}

static int open_nameless(int dir)
{
	char path[32];
	cleanup_fd int fd = openat(dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	proc_path(fd, path, sizeof(path));
	return access(path, F_OK) < 0 ? -errno : take_fd(&fd);
}

int draft_open(struct draft *d, int dir)
{
	*d = (struct draft){.fd = open_nameless(dir)};
	if (d->fd >= 0)
		return 0;
	/* Not every file system can, and not everywhere is /proc. */
	for (int i = 0; i < 16 && d->fd < 0; i++) {
		make_name(d->name, sizeof(d->name));
		d->fd = openat(
			dir, d->name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, 0600);
		if (d->fd < 0 && errno != EEXIST)
			break;
	}
	if (d->fd >= 0)
		return 0;
	d->fd = -errno;
	return d->fd;
}

/* A name for what has none: NAME where that is free, else one to be renamed.  0 or -errno. */
static int give_name(struct draft *d, int dir, const char *name)
{
	char path[32];

	if (*d->name)
		return 0;
	proc_path(d->fd, path, sizeof(path));
	if (linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	for (int i = 0; i < 16 && errno == EEXIST; i++) {
		make_name(d->name, sizeof(d->name));
		if (linkat(AT_FDCWD, path, dir, d->name, AT_SYMLINK_FOLLOW) == 0)
			return 0;
	}
	d->name[0] = '\0';
	return -errno;
}

int draft_keep(struct draft *d, int dir, const char *name, unsigned mode)
{
	int err = fchmod(d->fd, mode) < 0 ? -errno : 0;

	if (!err)
		err = give_name(d, dir, name);
	/* Network file systems tell only now that there is no room. */
	if (close(take_fd(&d->fd)) < 0 && !err)
		err = -errno;
	if (!err && *d->name && renameat(dir, d->name, dir, name) < 0)
		err = -errno;
	if (err)
		draft_drop(d, dir);
	return err;
}

void draft_drop(struct draft *d, int dir)
{
	if (d->fd >= 0)
		fd_close(&d->fd);
	if (*d->name)
		unlinkat(dir, d->name, 0);
	d->name[0] = '\0';
}

/* -- links ------------------------------------------------------------------------------------- */

/* DRAFT becomes NAME. */
static int move(int dir, const char *draft, const char *name)
{
	int err = renameat(dir, draft, dir, name) < 0 ? -errno : 0;

	/* Also where both are names of one file: rename(2) leaves them. */
	unlinkat(dir, draft, 0);
	return err;
}

int draft_symlink(int dir, const char *name, const char *target)
{
	char draft[48];

	if (symlinkat(target, dir, name) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	make_name(draft, sizeof(draft));
	if (symlinkat(target, dir, draft) < 0)
		return -errno;
	return move(dir, draft, name);
}

int draft_link(int dir, const char *name, int old_dir, const char *old)
{
	char draft[48];

	if (linkat(old_dir, old, dir, name, 0) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	make_name(draft, sizeof(draft));
	if (linkat(old_dir, old, dir, draft, 0) < 0)
		return -errno;
	return move(dir, draft, name);
}

bool link_inside(const char *target, uint32_t depth)
{
	bool named = false;

	if (*target == '/')
		return false;
	while (*target) {
		size_t len = strcspn(target, "/");

		if (len == 2 && memcmp(target, "..", 2) == 0) {
			if (named || depth == 0)
				return false;
			depth--;
		} else if (len && !(len == 1 && *target == '.')) {
			named = true;
		}
		target += len + strspn(target + len, "/");
	}
	return true;
}
