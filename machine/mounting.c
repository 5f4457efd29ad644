/* machine/mounting.c - mounts as mount(8) takes them */
#include "machine/mounting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/mem.h"

/* What mount(8) takes for itself; all else is the file system's. */
static const struct option {
	const char *name;
	unsigned long set, clear;
} options[] = {
	{"async", 0, MS_SYNCHRONOUS},
	{"atime", 0, MS_NOATIME},
	{"bind", MS_BIND, 0},
	{"defaults", 0, 0},
	{"dev", 0, MS_NODEV},
	{"dirsync", MS_DIRSYNC, 0},
	{"exec", 0, MS_NOEXEC},
	{"lazytime", MS_LAZYTIME, 0},
	{"noatime", MS_NOATIME, 0},
	{"nodev", MS_NODEV, 0},
	{"nodiratime", MS_NODIRATIME, 0},
	{"noexec", MS_NOEXEC, 0},
	{"nosuid", MS_NOSUID, 0},
	{"private", MS_PRIVATE, 0},
	{"rbind", MS_BIND | MS_REC, 0},
	{"relatime", MS_RELATIME, 0},
	{"remount", MS_REMOUNT, 0},
	{"ro", MS_RDONLY, 0},
	{"rprivate", MS_PRIVATE | MS_REC, 0},
	{"rshared", MS_SHARED | MS_REC, 0},
	{"rslave", MS_SLAVE | MS_REC, 0},
	{"rw", 0, MS_RDONLY},
	{"shared", MS_SHARED, 0},
	{"slave", MS_SLAVE, 0},
	{"strictatime", MS_STRICTATIME, 0},
	{"suid", 0, MS_NOSUID},
	{"sync", MS_SYNCHRONOUS, 0},
};

static const struct option *find(const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(options); i++) {
		if (strlen(options[i].name) == len && memcmp(options[i].name, name, len) == 0)
			return &options[i];
	}
	return NULL;
}

unsigned long mounting_parse(const char *text, char *data)
{
	unsigned long flags = 0;
	size_t len, used = 0;

	for (; *text; text += len + (text[len] == ',')) {
		const struct option *o;

		len = strcspn(text, ",");
		o = find(text, len);
		if (o) {
			flags = (flags | o->set) & ~o->clear;
		} else if (len) {
			if (used)
				data[used++] = ',';
			memcpy(data + used, text, len);
			used += len;
		}
	}
	data[used] = '\0';
	return flags;
}

static int make_parents(char *path)
{
	for (char *slash = path + 1; *slash; slash++) {
		if (*slash != '/')
			continue;
		*slash = '\0';
		if (mkdir(path, 0755) < 0 && errno != EEXIST && errno != EROFS)
			return -errno;
		*slash = '/';
	}
	return mkdir(path, 0755) < 0 && errno != EEXIST && errno != EROFS ? -errno : 0;
}

int mounting_target(const char *target)
{
	struct stat st;
	char *path;
	int err;

	if (stat(target, &st) == 0)
		return 0;
	path = xstrdup(target);
	err = make_parents(path);
	free(path);
	return err;
}

/* One call takes no flags beside MS_BIND, nor beside a propagation type (mount(2)). */
int mounting_do(const char *source, const char *target, const char *type, unsigned long flags,
	const char *data)
{
	const unsigned long types = MS_PRIVATE | MS_SHARED | MS_SLAVE;
	unsigned long rest = flags & ~(types | MS_BIND | MS_REC);

	if (flags & types && !(flags & MS_BIND))
		return mount(NULL, target, NULL, flags & (types | MS_REC), NULL) < 0 ? -errno : 0;
	if (!(flags & MS_BIND))
		return mount(source, target, type, flags, data) < 0 ? -errno : 0;
	if (!(flags & MS_REMOUNT) &&
		mount(source, target, NULL, flags & (MS_BIND | MS_REC), NULL) < 0)
		return -errno;
	if (rest && mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | rest, NULL) < 0) {
		int err = -errno;

		if (!(flags & MS_REMOUNT))
			umount2(target, MNT_DETACH);
		return err;
	}
	if (flags & types && mount(NULL, target, NULL, flags & (types | MS_REC), NULL) < 0)
		return -errno;
	return 0;
}
