/* fs/path.c - a path of any length, as the *at() calls take it */
#include "fs/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

/* The agent's working directory is no part of the protocol; what opens a directory to pass it by. */
#define PASS_BY (O_PATH | O_DIRECTORY | O_CLOEXEC)

/* From P->dir on to the directory NAME in it, which is shorter than PATH_MAX. */
static int enter(struct path *p, const char *name)
{
	int fd = openat(p->dir, name, PASS_BY);

	if (fd < 0)
		return -errno;
	path_close(p);
	p->dir = fd;
	return 0;
}

/* Enters the first LEN bytes of what is left of P: whole components. */
static int enter_front(struct path *p, size_t len)
{
	char front[PATH_MAX];
	int err;

	memcpy(front, p->name, len);
	front[len] = '\0';
	err = enter(p, front);
	p->name += len;
	p->name += strspn(p->name, "/");
	return err;
}

int path_open(const char *path, struct path *out)
{
	*out = (struct path){.dir = AT_FDCWD, .name = path};
	while (strlen(out->name) >= PATH_MAX) {
		const char *cut = memrchr(out->name + 1, '/', PATH_MAX - 2);
		int err;

		if (!cut)
			return -ENAMETOOLONG;
		err = enter_front(out, (size_t)(cut - out->name));
		if (err)
			return err;
		if (!*out->name) /* slashes alone were left */
			out->name = ".";
	}
	return 0;
}

void path_close(struct path *p)
{
	if (p->dir != AT_FDCWD)
		fd_close(&p->dir);
	p->dir = AT_FDCWD;
}

const char *path_base(const char *path, size_t *len)
{
	size_t end = strlen(path), start;

	while (end > 1 && path[end - 1] == '/')
		end--;
	start = end;
	while (start && path[start - 1] != '/')
		start--;
	if (start == end) /* the root */
		start--;
	*len = end - start;
	return path + start;
}

void path_copy_plain(const char *path, char name[PATH_MAX])
{
	size_t len;
	const char *base = path_base(path, &len);

	len += (size_t)(base - path);
	ASSERT(len < PATH_MAX);
	memcpy(name, path, len);
	name[len] = '\0';
}

int path_open_plain(const char *path, struct path *out, char name[PATH_MAX])
{
	int err = path_open(path, out);

	if (err)
		return err;
	path_copy_plain(out->name, name);
	out->name = name;
	return 0;
}

/* Makes the directory NAME unless it is there by now, and enters it. */
static int make_and_enter(struct path *p, const char *name, const struct path_owner *owner)
{
	bool made = mkdirat(p->dir, name, 0755) == 0;
	int fd;

	if (!made && errno != EEXIST)
		return -errno;
	/* Whoever may write here could have put a link in its place: a new one is no link. */
	fd = openat(p->dir, name, PASS_BY | (made ? O_NOFOLLOW : 0));
	if (fd < 0)
		return -errno;
	path_close(p);
	p->dir = fd;
	p->made += made;
	if (made && owner && fchownat(fd, "", owner->uid, owner->gid, AT_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/* The front as a whole, where all of it is there: one system call in the usual case. */
static int enter_at_once(const char *front, size_t len, struct path *out)
{
	char whole[PATH_MAX];

	if (len >= sizeof(whole))
		return -ENOENT;
	memcpy(whole, front, len);
	whole[len] = '\0';
	return enter(out, whole);
}

int path_open_parents(const char *path, const struct path_owner *owner, struct path *out)
{
	size_t len;
	const char *base = path_base(path, &len);
	size_t front = (size_t)(base - path);
	char name[PATH_MAX]; /* NAME_MAX is not every file system's */
	int err;

	*out = (struct path){.dir = AT_FDCWD, .name = path};
	if (front == 0) /* the root, or a name of the working directory */
		return 0;
	err = enter_at_once(path, front, out);
	if (!err)
		out->name = base;
	if (err != -ENOENT)
		return err;
	if (*path == '/') {
		err = enter(out, "/");
		if (err)
			return err;
	}
	for (const char *at = path + strspn(path, "/"); at < base;) {
		size_t n = strcspn(at, "/");

		if (n >= sizeof(name))
			return -ENAMETOOLONG;
		memcpy(name, at, n);
		name[n] = '\0';
		err = enter(out, name);
		if (err == -ENOENT)
			err = make_and_enter(out, name, owner);
		if (err)
			return err;
		at += n;
		at += strspn(at, "/");
	}
	out->name = base;
	return 0;
}
