/*
 * base/mounts.h - what is mounted where, as proc_pid_mountinfo(5) has it
 *
 *	struct mounts mounts;
 *
 *	if (mounts_read(&mounts) == 0)
 *		for (size_t i = 0; i < mounts.n; i++)
 *			... mounts.at[i].point
 *	mounts_free(&mounts);
 *
 * Owner: the caller.  Thread: any; the file does not block.
 */
#ifndef BASE_MOUNTS_H
#define BASE_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

struct mount {
	uint64_t id, parent;
	const char *device; /* MAJOR:MINOR */
	const char *root;   /* what of the file system is mounted */
	const char *point;
	const char *options; /* of the mount */
	const char *type;
	const char *source;
	const char *super; /* options of the file system; "" where they are left out */
};

struct mounts {
	struct mount *at; /* in the order of mounting */
	size_t n;
	char *text;
};

/* A line without its newline, which is cut up; false where it is none. */
bool mount_parse(char *line, struct mount *m);

/* 0 or -errno.  Of more than MOUNTS_TEXT_MAX bytes the first ones are read. */
#define MOUNTS_TEXT_MAX (1u << 20)
MUST_CHECK int mounts_read(struct mounts *m);
void mounts_free(struct mounts *m);

/* Is OPTION ("ro") one of the OPTIONS ("rw,nosuid")? */
bool mount_has_option(const char *options, const char *option);

#endif
