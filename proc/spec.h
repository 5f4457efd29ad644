/*
 * proc/spec.h - the spawn description: one set of parameters wherever a process is made
 */
#ifndef PROC_SPEC_H
#define PROC_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "proc/spawn.h"
#include "proto/args.h"
#include "proto/err.h"

enum spec_target { TARGET_SANDBOX, TARGET_COMPUTER, TARGET_AGENT };
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
};

extern const struct arg spec_table[];

/* What a table cannot say.  0, or ERR_BAD_PARAMS with F filled. */
int spec_check(const struct spec *spec, struct failure *f);

/*
 * Fills what S needs to run SPEC as ACCOUNT.  SPEC and the new strings, in ARENA of at least
 * spec_arena bytes, must outlive S.
 */
void spec_prepare(const struct spec *spec, const struct account *account, struct arena *arena,
	struct spawn *s);
size_t spec_arena(const struct spec *spec);

#endif
