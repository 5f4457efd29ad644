/* proc/cgfs.c - reading, writing and removing in the file system of cgroup v2 */
#include "proc/cgfs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"

/* Each costs up to a tenth of a millisecond, and the loop waits: the caller tries again later. */
#define MAX_REMOVED 256

#define NOTE "trusted.guestd"

int cgfs_open(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int cgfs_write(int dir, const char *file, const char *text)
{
	cleanup_fd int fd = openat(dir, file, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd_write_all(fd, text, strlen(text));
}

ssize_t cgfs_read(int dir, const char *file, char *buf, size_t len)
{
	cleanup_fd int fd = openat(dir, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, len - 1);

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return n;
}

bool cgfs_value(int fd, const char *key, uint64_t *value)
{
	char text[512]; /* memory.events, the longest that is asked for, has 7 short lines */
	size_t key_len = strlen(key);
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return false;
	text[n] = '\0';
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, key_len) == 0 && line[key_len] == ' ') {
			*value = strtoull(line + key_len + 1, NULL, 10);
			return true;
		}
	}
	return false;
}

int cgfs_note(int dir, const char *bytes, size_t len)
{
	return fsetxattr(dir, NOTE, bytes, len, 0) < 0 ? -errno : 0;
}

ssize_t cgfs_noted(int dir, char *bytes, size_t len)
{
	ssize_t n = fgetxattr(dir, NOTE, bytes, len);

	return n < 0 ? -errno : n;
}

void cgfs_unnote(int dir)
{
	fremovexattr(dir, NOTE);
}

/* The directory is opened anew: DIR's own position is everybody's. */
bool cgfs_each_child(int dir, bool (*fn)(int dir, const char *name, void *ctx), void *ctx)
{
	int fd = cgfs_open(dir, ".");
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	bool go_on = true;

	if (!d) {
		fd_close(&fd);
		return true;
	}
	while (go_on && (entry = readdir(d))) {
		if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 &&
			strcmp(entry->d_name, "..") != 0)
			go_on = fn(dirfd(d), entry->d_name, ctx);
	}
	closedir(d);
	return go_on;
}

/* Removing */

struct removal {
	int depth, budget;
	int err; /* of the last one tried, and the topmost is tried last */
};

static void remove_here(int dir, const char *name, struct removal *r)
{
	r->err = unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

/* Depth first; false: enough for one call. */
static bool remove_one(int dir, const char *name, void *ctx)
{
	struct removal *r = ctx;

	if (r->budget == 0)
		return false;
	r->budget--;
	remove_here(dir, name, r);
	if (r->err == -EBUSY && r->depth < CGFS_MAX_DEPTH) {
		cleanup_fd int fd = cgfs_open(dir, name);

		if (fd < 0)
			return true;
		r->depth++;
		cgfs_each_child(fd, remove_one, r);
		r->depth--;
		remove_here(dir, name, r);
	}
	return true;
}

int cgfs_remove(int dir, const char *name)
{
	struct removal r = {.budget = MAX_REMOVED};

	remove_one(dir, name, &r);
	return r.err;
}

/* Processes */

struct pids {
	bool (*fn)(pid_t pid, void *ctx);
	void *ctx;
	int depth;
};

/* cgroup.procs of DIR: a pid a line.  0 is one of another pid namespace, which has no name here. */
static bool each_line(int dir, const struct pids *p)
{
	cleanup_fd int fd = openat(dir, "cgroup.procs", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[4096];
	pid_t pid = 0; /* of the line so far: reads end anywhere */
	ssize_t n;

	while (fd >= 0 && (n = read(fd, text, sizeof(text))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (isdigit((unsigned char)text[i])) {
				pid = pid * 10 + text[i] - '0';
				continue;
			}
			if (pid && !p->fn(pid, p->ctx))
				return false;
			pid = 0;
		}
	}
	return true;
}

static bool each_below(int dir, const char *name, void *ctx)
{
	struct pids *p = ctx;
	cleanup_fd int fd = cgfs_open(dir, name);
	bool go_on;

	if (fd < 0 || p->depth == CGFS_MAX_DEPTH)
		return true;
	p->depth++;
	go_on = each_line(fd, p) && cgfs_each_child(fd, each_below, p);
	p->depth--;
	return go_on;
}

void cgfs_each_pid(int dir, bool below, bool (*fn)(pid_t pid, void *ctx), void *ctx)
{
	struct pids p = {fn, ctx, 0};

	if (each_line(dir, &p) && below)
		cgfs_each_child(dir, each_below, &p);
}
