/* fs/attrs.c - what a file has besides its contents */
#include "fs/attrs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

/* The kernel's own bounds of a list of names and of one value (xattr(7)). */
#define LIST_MAX  (64u << 10)
#define VALUE_MAX (64u << 10)

/* Almost every list and value is short: no memory is fetched for it. */
#define SHORT 512

#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

/*
 * A file for the calls on extended attributes: open; or, where it can only be held (O_PATH), by a path
 * that leads to what is held and nowhere else.
 */
struct subject {
	int fd; /* -1: the path */
	char path[32];
};

static ssize_t list_names(const struct subject *s, char *out, size_t len)
{
	return s->fd >= 0 ? flistxattr(s->fd, out, len) : listxattr(s->path, out, len);
}

static ssize_t get_value(const struct subject *s, const char *name, void *out, size_t len)
{
	return s->fd >= 0 ? fgetxattr(s->fd, name, out, len) : getxattr(s->path, name, out, len);
}

static int set_value(const struct subject *s, const char *name, const void *value, size_t len)
{
	return s->fd >= 0 ? fsetxattr(s->fd, name, value, len, 0)
			  : setxattr(s->path, name, value, len, 0);
}

static bool copy_value(const struct subject *from, const struct subject *to, const char *name)
{
	char brief[SHORT], *value = brief;
	ssize_t n = get_value(from, name, value, sizeof(brief));
	bool ok;

	if (n < 0 && errno == ERANGE) {
		value = xmalloc(VALUE_MAX);
		n = get_value(from, name, value, VALUE_MAX);
	}
	/* Gone since it was listed is not lost. */
	ok = n < 0 ? errno == ENODATA : set_value(to, name, value, (size_t)n) == 0;
	if (value != brief)
		free(value);
	return ok;
}

static unsigned copy_xattrs(const struct subject *from, const struct subject *to)
{
	char brief[SHORT], *names = brief;
	ssize_t n = list_names(from, names, sizeof(brief));
	unsigned lost = 0;

	if (n < 0 && errno == ERANGE) {
		names = xmalloc(LIST_MAX);
		n = list_names(from, names, LIST_MAX);
	}
	if (n < 0 && errno != ENOTSUP)
		lost = ATTRS_LOST_XATTRS;
	for (const char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
		if (!copy_value(from, to, name))
			lost = ATTRS_LOST_XATTRS;
	}
	if (names != brief)
		free(names);
	return lost;
}

/* Who runs a file as its owner shall not run it as another one. */
static mode_t safe_mode(const struct stat *st, unsigned lost)
{
	mode_t mode = st->st_mode & 07777;

	if (lost & ATTRS_LOST_OWNER && !S_ISDIR(st->st_mode))
		mode &= ~(mode_t)(S_ISUID | S_ISGID);
	return mode;
}

unsigned attrs_copy(int from, const struct stat *st, int to, uid_t uid, gid_t gid)
{
	const struct subject in = {.fd = from}, out = {.fd = to};
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	unsigned lost = 0;

	/* The owner first: changing it takes away set-id bits and capabilities (chown(2)). */
	if (fchown(to, uid, gid) < 0) {
		lost |= ATTRS_LOST_OWNER;
		(void)!fchown(to, (uid_t)-1, gid); /* the group alone may be allowed */
	}
	lost |= copy_xattrs(&in, &out);
	if (fchmod(to, safe_mode(st, lost)) < 0)
		lost |= ATTRS_LOST_MODE;
	if (futimens(to, times) < 0)
		lost |= ATTRS_LOST_TIMES;
	return lost;
}

static struct subject held(int fd)
{
	struct subject s = {.fd = -1};

	snprintf(s.path, sizeof(s.path), "/proc/self/fd/%d", fd);
	return s;
}

/* Is that what we have just made? */
static bool is_fresh(int fd, mode_t type)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & S_IFMT) == type &&
	       st.st_uid == geteuid() && st.st_nlink == 1;
}

unsigned attrs_copy_at(int from_dir, const char *from, const struct stat *st, int to_dir,
	const char *to, uid_t uid, gid_t gid)
{
	const struct timespec times[2] = {st->st_atim, st->st_mtim};
	cleanup_fd int in = openat(from_dir, from, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	cleanup_fd int out = openat(to_dir, to, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	const struct subject source = held(in), target = held(out);
	unsigned lost = 0;

	/* Whoever may write to the directory may have put something else there. */
	if (in < 0 || !is_fresh(out, st->st_mode & S_IFMT))
		return ATTRS_LOST_OWNER | ATTRS_LOST_MODE | ATTRS_LOST_TIMES | ATTRS_LOST_XATTRS;
	(void)removexattr(target.path, ACL_ACCESS);
	if (fchownat(out, "", uid, gid, AT_EMPTY_PATH) < 0)
		lost |= ATTRS_LOST_OWNER;
	lost |= copy_xattrs(&source, &target);
	/* A link has no mode of its own. */
	if (!S_ISLNK(st->st_mode) && chmod(target.path, safe_mode(st, lost)) < 0)
		lost |= ATTRS_LOST_MODE;
	if (utimensat(AT_FDCWD, target.path, times, 0) < 0)
		lost |= ATTRS_LOST_TIMES;
	return lost;
}

void attrs_drop_acls(int fd)
{
	/* Where there is none, or no such thing, there is nothing to be dropped. */
	(void)fremovexattr(fd, ACL_DEFAULT);
	(void)fremovexattr(fd, ACL_ACCESS);
}
