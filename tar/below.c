/* tar/below.c - names of an archive, resolved below a directory */
#include "tar/below.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"

#define OPEN_DIR (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

/* linux/openat2.h; the number is the same on every machine, and libc's headers may be older. */
#define NR_OPENAT2          437
#define RESOLVE_NO_SYMLINKS 0x04
#define RESOLVE_BENEATH     0x08
struct how {
	uint64_t flags, mode, resolve;
};

void below_begin(struct below *b, int root)
{
	*b = (struct below){.root = root, .dir = -1};
}

void below_end(struct below *b)
{
	fd_close(&b->dir);
	fd_close(&b->root);
	free(b->path);
	b->path = NULL;
}

/* In one call, where the kernel has it and nobody forbids it.  A descriptor or -errno. */
static int open_at_once(const struct below *b, const char *path)
{
	const struct how how = {
		.flags = OPEN_DIR,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};

	return (int)sys_raw(NR_OPENAT2, b->root, (long)path, (long)&how, sizeof(how), 0, 0);
}

static bool is_link(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

/* The directory NAME in DIR, which is consumed.  A descriptor or -errno. */
static int enter(const struct below *b, int dir, const char *name, bool make)
{
	int fd = openat(dir, name, OPEN_DIR), err = fd < 0 ? -errno : 0;

	if (err == -ENOENT && make) {
		bool made = mkdirat(dir, name, 0755) == 0;

		if (!made && errno != EEXIST)
			err = -errno;
		else
			fd = openat(dir, name, OPEN_DIR);
		if (fd >= 0)
			err = 0;
		if (made && fd >= 0 && b->owner &&
			fchownat(fd, "", b->owner->uid, b->owner->gid, AT_EMPTY_PATH) < 0) {
			err = -errno;
			fd_close(&fd);
		}
	}
	if ((err == -ENOTDIR || err == -ELOOP) && is_link(dir, name))
		err = -ELOOP;
	close(dir);
	return fd < 0 ? err : fd;
}

static int walk(struct below *b, char *path, bool make)
{
	int fd = fcntl(b->root, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	for (char *at = path, *slash; at && fd >= 0; at = slash ? slash + 1 : NULL) {
		slash = strchr(at, '/');
		if (slash)
			*slash = '\0';
		fd = enter(b, fd, at, make);
		if (fd == -ELOOP)
			b->link_len = (size_t)(at - path) + strlen(at);
		if (slash)
			*slash = '/';
	}
	return fd;
}

static bool keep_path(struct below *b, const char *path, size_t len)
{
	if (b->size < len + 1) {
		char *grown = realloc(b->path, len + 1);

		if (!grown)
			return false;
		b->path = grown;
		b->size = len + 1;
	}
	memcpy(b->path, path, len);
	b->path[len] = '\0';
	b->len = len;
	return true;
}

int below_dir(struct below *b, const char *path, size_t len, bool make)
{
	b->link_len = 0;
	if (!len)
		return b->root;
	if (b->dir >= 0 && b->len == len && memcmp(b->path, path, len) == 0)
		return b->dir;
	fd_close(&b->dir);
	if (!keep_path(b, path, len))
		return -ENOMEM;
	b->dir = open_at_once(b, b->path);
	if (b->dir < 0) /* to make it, to say what is in the way, or because it cannot */
		b->dir = walk(b, b->path, make);
	if (b->dir < 0) {
		int err = b->dir;

		b->dir = -1;
		return err;
	}
	return b->dir;
}

int below_open(const struct below *b, const char *path)
{
	struct below plain = {.root = b->root};
	char *copy;
	int fd = *path ? open_at_once(b, path) : fcntl(b->root, F_DUPFD_CLOEXEC, 0);

	if (fd >= 0 || !*path)
		return fd < 0 ? -errno : fd;
	copy = strdup(path);
	if (!copy)
		return -ENOMEM;
	fd = walk(&plain, copy, false);
	free(copy);
	return fd;
}

/* The part of *AT up to the next slash, which *AT moves behind; its length, 0 at the end. */
static size_t next_part(const char **at, const char **part)
{
	size_t len;

	*part = *at + strspn(*at, "/");
	len = strcspn(*part, "/");
	*at = *part + len;
	return len;
}

static bool is_dot(const char *part, size_t len)
{
	return len == 1 && part[0] == '.';
}

static bool is_dotdot(const char *part, size_t len)
{
	return len == 2 && part[0] == '.' && part[1] == '.';
}

enum below_clean below_clean(const char *name, size_t strip, char *out)
{
	const char *part;
	char *start = out;
	size_t len;
	bool stripped = strip > 0;

	if (*name == '/')
		return BELOW_ABSOLUTE;
	while ((len = next_part(&name, &part))) {
		if (is_dotdot(part, len))
			return BELOW_DOTDOT;
		if (is_dot(part, len))
			continue;
		if (strip) {
			strip--;
			continue;
		}
		if (out > start)
			*out++ = '/';
		memmove(out, part, len);
		out += len;
	}
	*out = '\0';
	return stripped && out == start ? BELOW_STRIPPED : BELOW_CLEAN;
}

/*
 * Only at its beginning may a target go up: there it goes up directories that are no links, so many
 * that it stays inside.  Behind a name, which may be a link, nobody knows what is above.
 */
bool below_is_inside(const char *target, const char *path, const char *root_path)
{
	size_t len = strlen(root_path), depth = 0;
	const char *part;
	bool names = false;

	while (len && root_path[len - 1] == '/')
		len--;
	if (*target == '/') {
		if (strncmp(target, root_path, len) != 0 || (target[len] && target[len] != '/'))
			return false;
		target += len;
	} else {
		for (; *path; path++)
			depth += *path == '/';
	}
	while ((len = next_part(&target, &part))) {
		if (is_dot(part, len))
			continue;
		if (!is_dotdot(part, len)) {
			names = true;
			continue;
		}
		if (names || !depth--)
			return false;
	}
	return true;
}
