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

/* So that cgroups below PLACE_TOP/NAME ("" is PLACE_TOP) can have limits. */
void place_allow_limits(const char *name);

#endif
