/*
 * init/place.h - which cgroup a process of ours is in
 *
 * Without a cgroup2 file system on /sys/fs/cgroup nothing happens.  Thread: the only one there is.
 */
#ifndef INIT_PLACE_H
#define INIT_PLACE_H

#define PLACE_TOP "/sys/fs/cgroup"

/* Makes the cgroup PLACE_TOP/NAME, "a" or "a/b", where it is missing, and moves us into it. */
void place_self(const char *name);

/*
 * A cgroup with processes in it cannot be divided.  So where we are not in the root of all, as in a
 * container, we move into one below; the directory of the one that we had, which stays, or NULL.
 */
const char *place_apart(void);

/* So that cgroups below PLACE_TOP/NAME ("" is PLACE_TOP) can have limits. */
void place_allow_limits(const char *name);

#endif
