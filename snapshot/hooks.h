/*
 * snapshot/hooks.h - programs of the image that run after a restore
 *
 * What the agent cannot set right it lets others do: daemons with a random generator or a cache of their
 * own, addresses, leases.  Each program of the directory (option resumed-dir) is started with the
 * agent's rights, one after another by name, once system.resumed has answered: a hook delays nobody and
 * fails nothing, and what it writes is in the agent's log.  A file or directory that another user owns
 * or could write to is not run.
 *
 * Thread: loop.
 */
#ifndef SNAPSHOT_HOOKS_H
#define SNAPSHOT_HOOKS_H

#include <stdint.h>

/* Runs them for EPOCH.  Those of an earlier one that have not begun yet are left out. */
void hooks_run(uint64_t epoch);

#endif
