/*
 * ctl/follow.h - a process in the guest on our own descriptors, up to its end
 *
 * What exec, shell and attach have in common.  Where the process has a terminal and our standard
 * input is one, ours is lent to it: raw, and its size follows ours.
 */
#ifndef CTL_FOLLOW_H
#define CTL_FOLLOW_H

#include "ctl/command.h"
#include "ctl/relay.h"

#define FOLLOW_ESCAPE                                                                              \
	"  --escape C    C and a dot at the beginning of a line of a terminal leave it: the\n"     \
	"                process goes on; a character, ^ and one, or none\n"

struct follow {
	/* in */
	const char *method; /* with the events of proc.exec or of proc.attach */
	void (*params)(void *ctx, struct enc *e);
	void *ctx;
	struct target *target; /* as in struct relay */
	bool input;            /* standard input goes to it */
	bool pty;              /* it has a terminal; proc.attach tells by itself */
	bool leave;            /* as in struct relay */
	struct escape escape;  /* as in struct relay */
	struct window window;  /* the size that params tells */

	/* private */
	struct ctl *ctl;
	struct relay relay;
	char id[256];
	uint64_t at[2]; /* bytes of stdout and stderr that we have written */
};

/* The exit status: as the process ended, 0 when it was left, or a failure's. */
int follow_run(struct ctl *ctl, struct follow *f);

#endif
