/* tar/acl.c - an access control list as archives have it, made the kernel's: acl(5), xattr(7) */
#include "tar/acl.h"

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"

/* linux/posix_acl_xattr.h, in little endian; entries stand in the order of their tags. */
#define VERSION   2
#define USER_OBJ  0x01
#define USER      0x02
#define GROUP_OBJ 0x04
#define GROUP     0x08
#define MASK      0x10
#define OTHER     0x20
#define NO_ID     UINT32_MAX

struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
};

struct acl {
	uint32_t version;
	struct acl_entry entry[];
};

/* An attribute has 64 KiB. */
#define MAX_ENTRIES (((64u << 10) - sizeof(struct acl)) / sizeof(struct acl_entry))

static bool is_id(const char *text, uint32_t *out)
{
	char *end;
	unsigned long v;

	if (*text < '0' || *text > '9')
		return false;
	v = strtoul(text, &end, 10);
	*out = (uint32_t)v;
	return !*end && v < NO_ID;
}

static int look_up(const struct users *users, bool group, const char *name, uint32_t *out)
{
	struct account *account;
	struct failure *f;
	char spec[300];
	int err;

	if (is_id(name, out))
		return 0;
	snprintf(spec, sizeof(spec), "%s%s", group ? "0:" : "", name);
	if (strchr(name, ':') || strlen(name) > 256)
		return -ENOENT;
	/* Large both, for the stack of a worker; a name is rare. */
	account = malloc(sizeof(*account));
	f = malloc(sizeof(*f));
	err = account && f ? users_resolve(users, spec, account, f) : -ENOMEM;
	if (!err)
		*out = group ? account->gid : account->uid;
	free(account);
	free(f);
	return err > 0 ? -ENOENT : err;
}

static int permissions(const char *text, uint16_t *out)
{
	uint16_t perm = 0;

	for (; *text; text++) {
		if (*text == 'r')
			perm |= 4;
		else if (*text == 'w')
			perm |= 2;
		else if (*text == 'x')
			perm |= 1;
		else if (*text != '-')
			return -EINVAL;
	}
	*out = perm;
	return 0;
}

static bool is_word(const char *text, const char *word)
{
	return strcmp(text, word) == 0 || (text[0] == word[0] && !text[1]);
}

/* "TAG:NAME:PERMISSIONS[:NUMBER]" */
static int parse_entry(char *text, const struct users *users, struct acl_entry *out)
{
	const char *field[4] = {text, "", "", ""};
	size_t n = 1;
	bool group;
	int err;

	for (char *p = text; n < ARRAY_LEN(field) && (p = strchr(p, ':')); n++) {
		*p++ = '\0';
		field[n] = p;
	}
	out->id = NO_ID;
	if (is_word(field[0], "mask") || is_word(field[0], "other")) {
		/* "other:r-x" is another way to write it. */
		out->tag = field[0][0] == 'm' ? MASK : OTHER;
		return permissions(n == 2 ? field[1] : field[2], &out->perm);
	}
	group = is_word(field[0], "group");
	if ((!group && !is_word(field[0], "user")) || n < 3)
		return -EINVAL;
	err = permissions(field[2], &out->perm);
	if (err || !*field[1]) {
		out->tag = group ? GROUP_OBJ : USER_OBJ;
		return err;
	}
	out->tag = group ? GROUP : USER;
	if (n == 4 && is_id(field[3], &out->id))
		return 0;
	return look_up(users, group, field[1], &out->id);
}

static int by_tag(const void *a, const void *b)
{
	const struct acl_entry *x = a, *y = b;

	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

int acl_from_text(char *text, const struct users *users, void **out, size_t *len)
{
	struct acl *acl;
	size_t n = 0, max = 1;
	int err = 0;

	for (const char *p = text; *p; p++)
		max += *p == ',' || *p == '\n';
	if (max > MAX_ENTRIES)
		return -E2BIG;
	acl = malloc(sizeof(*acl) + max * sizeof(acl->entry[0]));
	if (!acl)
		return -ENOMEM;
	for (char *rest = text, *part; !err && (part = strsep(&rest, ",\n"));) {
		part[strcspn(part, " \t#")] = '\0'; /* "#effective:..." */
		if (*part)
			err = parse_entry(part, users, &acl->entry[n++]);
	}
	if (!err && !n)
		err = -EINVAL;
	if (err) {
		free(acl);
		return err;
	}
	qsort(acl->entry, n, sizeof(acl->entry[0]), by_tag);
	acl->version = htole32(VERSION);
	for (size_t i = 0; i < n; i++) {
		acl->entry[i].tag = htole16(acl->entry[i].tag);
		acl->entry[i].perm = htole16(acl->entry[i].perm);
		acl->entry[i].id = htole32(acl->entry[i].id);
	}
	*out = acl;
	*len = sizeof(*acl) + n * sizeof(acl->entry[0]);
	return 0;
}
