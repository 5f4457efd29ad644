/* ctl/transfer.h - what put and get have in common: options, and what came of it */
#ifndef CTL_TRANSFER_H
#define CTL_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/flight.h"
#include "ctl/nodes.h"
#include "ctl/progress.h"

struct transfer {
	/* in */
	const char *user, *owner; /* NULL: left out */
	const char *from, *to;
	bool standard; /* input or output of ours, instead of a file */
	bool recursive, exact, quiet;
	bool keep_links; /* get: symbolic links that lead outside, too */
	bool mode_given; /* put */
	uint64_t mode;

	/* out */
	uint64_t files, directories, symlinks, bytes, failed;

	/* private */
	struct ctl *ctl;
	struct flight flight;
	struct nodes nodes;
	struct progress progress;
};

/* Said of one thing, and counted; the others go on. */
void transfer_fail(struct transfer *t, const char *fmt, ...) PRINTF(2, 3);
void transfer_error(struct transfer *t, const struct val *error);

/* A call ended without its work: what failed here (ERR of the task, at PATH), or as the agent says. */
void transfer_ended(struct transfer *t, int err, const char *path, const struct val *error);

/* Begins the calls, under a progress line for NAME of TOTAL bytes.  0 or an exit status. */
MUST_CHECK int transfer_begin(struct transfer *t, const char *name, uint64_t total);

/* Ends them.  The exit status so far. */
int transfer_end(struct transfer *t);

/* The exit status in the end, and with --json what came of it. */
int transfer_result(struct transfer *t, int status);

#endif
