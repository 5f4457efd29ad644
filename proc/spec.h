/*
 * proc/spec.h - the spawn description: one set of parameters wherever a process is made
 */
#ifndef PROC_SPEC_H
#define PROC_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "proc/cgroup.h"
#include "proc/spawn.h"
#include "proto/args.h"
#include "proto/enc.h"
#include "proto/err.h"

enum spec_on_disconnect { DISCONNECT_KEEP, DISCONNECT_KILL };

struct spec {
	struct strs argv;
	const char *cmd;
	const char *cwd;
	struct vars env;
	const char *user;
	const char *target; /* NULL: the guest's kind */
	bool want_stdin;
	uint64_t timeout_ms, grace_ms;
	unsigned on_disconnect; /* enum spec_on_disconnect */
	const char *id, *label;
	uint64_t ring;
	struct pairs rlimits;
	int64_t nice;
	bool no_new_privs, login, merge;
	struct spec_pty {
		bool given;
		uint64_t rows, cols;
		const char *term;
	} pty;
	struct spec_limits {
		bool given;
		struct cgroup_limits values;
	} limits;
	struct strs artifacts;
	bool shell; /* no parameter: the user's login shell, for want of a command */
};

extern const struct arg spec_table[];
extern const struct arg pty_table[]; /* of struct spec_pty */

/* Rows and columns: struct winsize has 16 bits for each. */
#define TERMINAL_MAX 65535

/* What a table cannot say.  0, or ERR_BAD_PARAMS with F filled. */
int spec_check(const struct spec *spec, struct failure *f);

/* What the program finds in its argv, for ProcessInfo; SHELL is that of its user. */
void spec_encode_argv(
	const struct spec *spec, const char *shell, size_t max, struct enc *e, bool *truncated);

/*
 * Fills what S needs to run SPEC as ACCOUNT.  SPEC and the new strings, in ARENA of at least
 * spec_arena bytes, must outlive S.
 */
void spec_prepare(const struct spec *spec, const struct account *account, struct arena *arena,
	struct spawn *s);
size_t spec_arena(const struct spec *spec);

#endif
