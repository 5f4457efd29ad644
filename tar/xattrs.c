/* tar/xattrs.c - extended attributes and ACLs as records of a pax archive */
#include "tar/xattrs.h"

#include <endian.h>
#include <errno.h>
#include <linux/posix_acl_xattr.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/check.h"
#include "tar/pax.h"

/* The kernel's own bounds of a list of names and of one value (xattr(7)). */
#define LIST_MAX  (64u << 10)
#define VALUE_MAX (64u << 10)

#define XATTR_KEY "SCHILY.xattr."

/* Tags of an entry: linux/posix_acl.h, which is the kernel's own. */
enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };

/* Names of one file, sorted. */
#define NAMES_MAX 512u

struct subject {
	int fd;
	char path[32]; /* "": by FD */
};

static ssize_t list_names(const struct subject *s, char *out, size_t len)
{
	return *s->path ? listxattr(s->path, out, len) : flistxattr(s->fd, out, len);
}

static ssize_t get_value(const struct subject *s, const char *name, void *out, size_t len)
{
	return *s->path ? getxattr(s->path, name, out, len) : fgetxattr(s->fd, name, out, len);
}

static bool is_acl(const char *name)
{
	return strncmp(name, "system.posix_acl_", 17) == 0;
}

static bool is_portable(const char *name)
{
	return strncmp(name, "user.", 5) == 0 || strcmp(name, "security.capability") == 0 ||
	       is_acl(name);
}

static const char *tag_name(unsigned tag)
{
	switch (tag) {
	case USER_OBJ:
	case USER:
		return "user";
	case GROUP_OBJ:
	case GROUP:
		return "group";
	case MASK:
		return "mask";
	case OTHER:
		return "other";
	default:
		return NULL;
	}
}

/* "user::rwx,user:1000:r-x,...": VALUE as of linux/posix_acl_xattr.h.  0 or -errno. */
static int acl_record(struct buf *out, const char *key, const char *value, size_t len)
{
	const struct posix_acl_xattr_header *head = (const void *)value;
	const struct posix_acl_xattr_entry *entry = (const void *)(head + 1);
	size_t n, text_len = 0;
	char *text;
	int err;

	if (len < sizeof(*head) || le32toh(head->a_version) != POSIX_ACL_XATTR_VERSION)
		return -EINVAL;
	n = (len - sizeof(*head)) / sizeof(*entry);
	text = malloc(n * 32 + 1);
	if (!text)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		unsigned tag = le16toh(entry[i].e_tag), perm = le16toh(entry[i].e_perm);
		const char *name = tag_name(tag);
		char id[16] = "";

		if (!name) {
			free(text);
			return -EINVAL;
		}
		if (tag == USER || tag == GROUP)
			snprintf(id, sizeof(id), "%u", le32toh(entry[i].e_id));
		text_len += (size_t)snprintf(text + text_len, 32, "%s%s:%s:%c%c%c", i ? "," : "",
			name, id, perm & 4 ? 'r' : '-', perm & 2 ? 'w' : '-', perm & 1 ? 'x' : '-');
	}
	err = pax_record(out, key, text, text_len);
	free(text);
	return err;
}

static int value_record(struct buf *out, const char *name, const char *value, size_t len)
{
	char key[sizeof(XATTR_KEY) + 256];

	if (strcmp(name, "system.posix_acl_access") == 0)
		return acl_record(out, "SCHILY.acl.access", value, len);
	if (strcmp(name, "system.posix_acl_default") == 0)
		return acl_record(out, "SCHILY.acl.default", value, len);
	/* A name ends where the value begins. */
	if (strchr(name, '='))
		return -EINVAL;
	snprintf(key, sizeof(key), XATTR_KEY "%.255s", name); /* XATTR_NAME_MAX */
	return pax_record(out, key, value, len);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The values of the N_BYTES of NAMES.  0 or the first error. */
static int add_all(
	const struct subject *s, const char *names, size_t n_bytes, bool portable, struct buf *out)
{
	const char **sorted = malloc(NAMES_MAX * sizeof(*sorted));
	char *value = malloc(VALUE_MAX);
	size_t n = 0;
	int err = sorted && value ? 0 : -ENOMEM;

	for (const char *name = names; !err && name < names + n_bytes; name += strlen(name) + 1) {
		if (portable && !is_portable(name))
			continue;
		if (n == NAMES_MAX)
			err = -E2BIG;
		else
			sorted[n++] = name;
	}
	if (sorted)
		qsort(sorted, n, sizeof(*sorted), by_name);
	for (size_t i = 0; value && sorted && i < n; i++) {
		ssize_t len = get_value(s, sorted[i], value, VALUE_MAX);
		int one = len < 0 ? -errno : value_record(out, sorted[i], value, (size_t)len);

		/* Gone since it was listed is not lost. */
		if (one && one != -ENODATA && !err)
			err = one == -ENOBUFS ? -E2BIG : one;
	}
	free(value);
	free(sorted);
	return err;
}

int xattrs_records(struct xattrs_of of, bool portable, struct buf *out)
{
	struct subject s = {.fd = of.fd};
	char brief[256], *names = brief;
	ssize_t n;
	int err = 0;

	if (of.held)
		snprintf(s.path, sizeof(s.path), "/proc/self/fd/%d", of.fd);
	n = list_names(&s, names, sizeof(brief));
	if (n < 0 && errno == ERANGE) {
		names = malloc(LIST_MAX);
		if (!names)
			return -ENOMEM;
		n = list_names(&s, names, LIST_MAX);
	}
	/* Without /proc nobody can tell of a link or a device; which hardly ever have any. */
	if (n < 0 && errno != ENOTSUP && !(of.held && errno == ENOENT))
		err = -errno;
	if (n > 0)
		err = add_all(&s, names, (size_t)n, portable, out);
	if (names != brief)
		free(names);
	return err;
}
