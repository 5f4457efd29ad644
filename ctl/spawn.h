/*
 * ctl/spawn.h - options of the commands that start a process
 */
#ifndef CTL_SPAWN_H
#define CTL_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/command.h"

#define SPAWN_USAGE                                                                                \
	"[-i] [-u USER] [-C DIR] [-e K=V]… [--target T] [--timeout S] [--id ID] [--] ARG…"
#define SPAWN_OPTIONS                                                                              \
	"  -i            pass standard input on\n"                                                 \
	"  -u USER       run as USER, UID, USER:GROUP or UID:GID\n"                                \
	"  -C DIR        in this directory\n"                                                      \
	"  -e K=V        with this in the environment; again for more\n"                           \
	"  --target T    with the environment of sandbox, computer or agent\n"                     \
	"  --timeout S   stop it after S seconds\n"                                                \
	"  --id ID       under this name; attach to it where it runs already\n"

struct spawn {
	bool input;
	const char *user, *cwd, *target, *id; /* NULL: left out */
	uint64_t timeout_ms;                  /* 0: none */
	char **env;                           /* n_env of K=V; owned */
	size_t n_env;
	char **argv; /* n_argv of them */
	size_t n_argv;
};

/* From the command line, whose strings are borrowed.  0 or STATUS_USAGE. */
MUST_CHECK int spawn_parse(const struct ctl *ctl, int argc, char **argv, struct spawn *spawn);
void spawn_fini(struct spawn *spawn);

/* The spawn description as one map. */
void spawn_encode(const struct spawn *spawn, struct enc *e);

#endif
