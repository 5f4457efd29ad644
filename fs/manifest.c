/* fs/manifest.c - the manifest of a tree */
#include "fs/manifest.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "fs/entry.h"

void manifest_add(struct sha256 *manifest, const struct stat *st, const char *below,
	const char *target, uint64_t size, const char *hex)
{
	bool is_file = S_ISREG(st->st_mode);
	char head[160], device[32] = "";
	int n;

	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		snprintf(device, sizeof(device), "%u:%u", major(st->st_rdev), minor(st->st_rdev));
	if (!target)
		target = device;
	n = snprintf(head, sizeof(head), "%s %04o %llu %s ", entry_type(st->st_mode),
		(unsigned)st->st_mode & 07777, (unsigned long long)(is_file ? size : 0),
		is_file ? hex : "-");
	sha256_add(manifest, head, (size_t)n);
	sha256_add(manifest, below, strlen(below) + 1);
	sha256_add(manifest, target, strlen(target) + 1);
}
