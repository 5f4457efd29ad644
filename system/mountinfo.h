/*
 * system/mountinfo.h - the mounted file systems that hold something, each once
 *
 * Left out are those of the kernel's own making (no blocks), and those that cannot be asked without
 * waiting for somebody else: network and FUSE file systems, automount points, and what is mounted
 * below or behind one of them.
 *
 * Thread: worker; statfs(2) of a sick disk may still block.
 */
#ifndef SYSTEM_MOUNTINFO_H
#define SYSTEM_MOUNTINFO_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

struct mount_entry {
	const char *path, *type, *source;
	unsigned id, parent; /* of the mount */
	unsigned dev_major, dev_minor;
	bool writable;
	bool remote;  /* its server, or its daemon, has to answer */
	bool blocked; /* to get there one has to pass a remote one */
	bool hidden;  /* another one is mounted over it */
	bool again;   /* the same file system is in the list before */
};

struct mountinfo {
	struct mount_entry *at;
	size_t n;
	bool truncated; /* there are more than MOUNTS_MAX, or MOUNTINFO_BYTES_MAX */

	/* private */
	char *text;
};

/* 0 or -errno (no /proc).  mountinfo_fini is due in both cases. */
MUST_CHECK int mountinfo_read(struct mountinfo *m);
void mountinfo_fini(struct mountinfo *m);

/* Of a file system of this type somebody else has to be asked. */
bool mount_is_remote(const char *type);

/* TEXT, as /proc/self/mountinfo has it, is cut up in place.  For tests, too. */
void mountinfo_parse(struct mountinfo *m, char *text);

#endif
