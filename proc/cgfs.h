/*
 * proc/cgfs.h - reading, writing and removing in the file system of cgroup v2
 *
 * Nothing here blocks in practice: there is no disk below it.  All names are looked up below a
 * descriptor, and no link is followed: what is below a guest process's cgroup is that process's.
 *
 * Thread: any.
 */
#ifndef PROC_CGFS_H
#define PROC_CGFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/check.h"

/* How deep cgroups may lie below one of ours: the kernel is told so, and we look no further. */
#define CGFS_MAX_DEPTH 32

/* The directory NAME below DIR, or -errno. */
MUST_CHECK int cgfs_open(int dir, const char *name);

/* TEXT into FILE of the cgroup DIR; 0 or -errno. */
MUST_CHECK int cgfs_write(int dir, const char *file, const char *text);

/* FILE of the cgroup DIR, at most LEN - 1 bytes, terminated; bytes or -errno. */
MUST_CHECK ssize_t cgfs_read(int dir, const char *file, char *buf, size_t len);

/* The number behind KEY in a file of lines `key number`, which FD has open; false: none. */
bool cgfs_value(int fd, const char *key, uint64_t *value);

/*
 * Removes the cgroup NAME below DIR and those below it, as far as they are empty.  0; -errno, which
 * is -EBUSY when something is left, be it because there are too many for one call.
 */
MUST_CHECK int cgfs_remove(int dir, const char *name);

/*
 * What the agent noted at the cgroup DIR, which goes with that: at most LEN bytes.  Nobody in the
 * guest but who has CAP_SYS_ADMIN can read or write it (xattr(7), "trusted").  0, bytes, or -errno:
 * -ENODATA where there is none, -EPERM where we may not.
 */
MUST_CHECK int cgfs_note(int dir, const char *bytes, size_t len);
MUST_CHECK ssize_t cgfs_noted(int dir, char *bytes, size_t len);
void cgfs_unnote(int dir);

/* Calls FN with each cgroup right below DIR, until FN returns false; then so does this. */
bool cgfs_each_child(int dir, bool (*fn)(int dir, const char *name, void *ctx), void *ctx);

/* Calls FN with each process in the cgroup DIR and, if BELOW, below it; until FN returns false. */
void cgfs_each_pid(int dir, bool below, bool (*fn)(pid_t pid, void *ctx), void *ctx);

#endif
