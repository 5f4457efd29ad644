/* tar/attrs.c - owner, mode, times, extended attributes and ACLs, as the archive has them */
#include "tar/attrs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "fs/attrs.h"
#include "tar/acl.h"

#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"
#define CAPABILITY  "security.capability"

/* What is changed: an open file; or what is only held, by a path that leads to it and nowhere else. */
struct subject {
	int fd;
	bool held;
	char path[32];
};

static int set_attr(const struct subject *s, const char *name, const void *value, size_t len)
{
	return s->held ? setxattr(s->path, name, value, len, 0)
		       : fsetxattr(s->fd, name, value, len, 0);
}

static int apply_acl(struct extract *x, const struct subject *s, const struct tar_attr *attr)
{
	size_t len;
	void *acl;
	int err;

	if (!x->users)
		x->users = users_hold();
	err = acl_from_text(attr->value, x->users, &acl, &len);
	if (err)
		return err;
	err = set_attr(s, attr->kind == TAR_ACL_ACCESS ? ACL_ACCESS : ACL_DEFAULT, acl, len);
	free(acl);
	return err;
}

/* OWNED: it belongs to whom the archive says: it may have what makes its user powerful. */
static void apply_attr(
	struct extract *x, const struct subject *s, struct tar_attr *attr, bool owned)
{
	int err = 0;

	switch (attr->kind) {
	case TAR_XATTR:
		if (!owned && strcmp(attr->name, CAPABILITY) == 0)
			err = -EPERM;
		else
			err = set_attr(s, attr->name, attr->value, attr->len);
		break;
	case TAR_ACL_ACCESS:
	case TAR_ACL_DEFAULT:
		err = apply_acl(x, s, attr);
		break;
	case TAR_UNKNOWN:
		x->lost |= EXTRACT_LOST_FLAGS;
		break;
	}
	if (err)
		x->lost |= ATTRS_LOST_XATTRS;
}

/*
 * The owner first, of what was made: changing it takes away set-id bits and capabilities (chown(2)).  These are for
 * the owner that the archive names, and no other.
 */
static int apply(struct extract *x, const struct subject *s, mode_t *mode)
{
	const struct tar_entry *e = x->entry;
	const struct path_owner *owner = x->how->owner;
	const struct path_owner theirs = {(uid_t)e->uid, (gid_t)e->gid};
	bool owned = false;
	struct tar_attr attr;

	if (owner && !x->existed && fchownat(s->fd, "", owner->uid, owner->gid, AT_EMPTY_PATH) < 0)
		return -errno;
	if (!owner && x->how->archive_owner) {
		owned = fchownat(s->fd, "", theirs.uid, theirs.gid, AT_EMPTY_PATH) == 0;
		if (!owned)
			x->lost |= ATTRS_LOST_OWNER;
	}
	*mode = e->mode;
	if (!owned && e->type != TAR_DIR && *mode & (S_ISUID | S_ISGID)) {
		*mode &= ~(mode_t)(S_ISUID | S_ISGID);
		x->lost |= ATTRS_LOST_MODE;
	}
	while (tar_attr(x->reader, &attr))
		apply_attr(x, s, &attr, owned);
	return 0;
}

int attrs_apply(struct extract *x, int fd, mode_t *mode)
{
	const struct subject s = {.fd = fd};

	return apply(x, &s, mode);
}

void attrs_times(const struct tar_entry *e, struct timespec times[2])
{
	times[0] = e->has_atime ? e->atime : (struct timespec){.tv_nsec = UTIME_OMIT};
	times[1] = e->mtime;
}

int attrs_apply_file(struct extract *x, int fd)
{
	struct timespec times[2];
	mode_t mode = 0;
	int err;

	/* The directory may have given it an ACL that the archive does not know of. */
	(void)fremovexattr(fd, ACL_ACCESS);
	err = attrs_apply(x, fd, &mode);
	if (err)
		return err;
	attrs_times(x->entry, times);
	if (fchmod(fd, mode) < 0)
		x->lost |= ATTRS_LOST_MODE;
	if (futimens(fd, times) < 0)
		x->lost |= ATTRS_LOST_TIMES;
	return 0;
}

static mode_t type_of(const struct tar_entry *e)
{
	switch (e->type) {
	case TAR_SYMLINK:
		return S_IFLNK;
	case TAR_CHAR:
		return S_IFCHR;
	case TAR_BLOCK:
		return S_IFBLK;
	default:
		return S_IFIFO;
	}
}

int attrs_apply_at(struct extract *x, int dir, const char *name)
{
	cleanup_fd int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct subject s = {.fd = fd, .held = true};
	struct timespec times[2];
	struct stat st;
	mode_t mode = 0;
	int err;

	/* Whoever may write to the directory may have put something else there. */
	if (fd < 0 || fstat(fd, &st) < 0 || (st.st_mode & S_IFMT) != type_of(x->entry) ||
		st.st_uid != geteuid() || st.st_nlink != 1)
		return -ESTALE;
	snprintf(s.path, sizeof(s.path), "/proc/self/fd/%d", fd);
	if (x->entry->type != TAR_SYMLINK)
		(void)removexattr(s.path, ACL_ACCESS);
	err = apply(x, &s, &mode);
	if (err)
		return err;
	attrs_times(x->entry, times);
	/* A link has no mode of its own. */
	if (x->entry->type != TAR_SYMLINK && chmod(s.path, mode) < 0)
		x->lost |= ATTRS_LOST_MODE;
	if (utimensat(AT_FDCWD, s.path, times, 0) < 0)
		x->lost |= ATTRS_LOST_TIMES;
	return 0;
}
