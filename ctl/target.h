/*
 * ctl/target.h - the process that an argument means
 *
 * An id.  Where no process has it: of digits alone a pid, anything else a label, for the methods
 * that take one.
 */
#ifndef CTL_TARGET_H
#define CTL_TARGET_H

#include <stdbool.h>

#include "ctl/command.h"

struct target {
	/* in */
	const char *name;
	bool labels; /* the method takes one */
	/* private */
	enum { TARGET_ID, TARGET_PID, TARGET_LABEL } by;
};

/* The one positional argument behind the options, which getopt has read.  0 or STATUS_USAGE. */
MUST_CHECK int target_parse(
	const struct ctl *ctl, int argc, char **argv, bool labels, struct target *target);

/* One pair of the parameters. */
void target_encode(const struct target *target, struct enc *e);

/* Is ERROR (or NULL) that no such process is known? */
bool target_unknown(const struct val *error);

/* What to try next where it is unknown; false when that was all. */
bool target_next(struct target *target);

/* The pair `signal`, from a name or a number. */
void target_encode_signal(const char *name, struct enc *e);

/* Says that no process is called so.  STATUS_FAILED. */
int target_fail(const struct ctl *ctl, const struct target *target);

#endif
