/*
 * proc/environ.h - the environment of a new process
 *
 * From weak to strong: what its user has and the agent adds, the layers that the host laid down
 * (env/store.h) as they are at this moment, the `env` of the call.
 *
 * Thread: loop.
 */
#ifndef PROC_ENVIRON_H
#define PROC_ENVIRON_H

#include "base/mem.h"
#include "proc/spec.h"

/* "NAME=value", ended by NULL and sorted, in ARENA, of which it takes environ_arena bytes at most. */
const char **environ_make(
	const struct spec *spec, const struct account *account, struct arena *arena);
size_t environ_arena(const struct spec *spec);

/* The longest that its PATH can be. */
size_t environ_path_bytes(const struct spec *spec);

/* NULL where it is not there. */
const char *environ_get(const char *const *env, const char *name);

#endif
