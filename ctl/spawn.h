/*
 * ctl/spawn.h - options of the commands that start a process
 */
#ifndef CTL_SPAWN_H
#define CTL_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/command.h"
#include "ctl/terminal.h"

#define SPAWN_USAGE "[-u USER] [-C DIR] [-e K=V]… [--target T] [--timeout S] [--id ID] [--label L]"
#define SPAWN_OPTIONS                                                                              \
	"  -u USER       run as USER, UID, USER:GROUP or UID:GID\n"                                \
	"  -C DIR        in this directory\n"                                                      \
	"  -e K=V        with this in the environment; again for more\n"                           \
	"  --target T    with the environment of sandbox, computer or agent\n"                     \
	"  --timeout S   stop it after S seconds\n"                                                \
	"  --id ID       under this name, once: exec attaches to it where it runs already\n"       \
	"  --label L     under this label, which several may share\n"

struct spawn {
	bool input, tty;
	const char *user, *cwd, *target, *id, *label; /* NULL: left out */
	uint64_t timeout_ms;                          /* 0: none */
	struct escape escape;
	char **env; /* n_env of K=V; owned */
	size_t n_env;
	char **argv; /* n_argv of them; the caller looks whether it wants any */
	size_t n_argv;
	struct window window; /* of our terminal, where there is one */
};

/*
 * From the command line, whose strings are borrowed.  0 or STATUS_USAGE; spawn_fini is due in both
 * cases.
 */
MUST_CHECK int spawn_parse(const struct ctl *ctl, int argc, char **argv, struct spawn *spawn);
void spawn_fini(struct spawn *spawn);

/* The spawn description as one map. */
void spawn_encode(const struct spawn *spawn, struct enc *e);

/* Pairs of it, and how many: what every process has; the terminal's size and type. */
size_t spawn_encode_common(const struct spawn *spawn, struct enc *e);
size_t spawn_encode_window(const struct spawn *spawn, struct enc *e);

#endif
