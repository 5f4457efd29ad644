/*
 * ctl/haul.h - one call that moves a whole archive, under a progress line
 *
 * Thread: main.
 */
#ifndef CTL_HAUL_H
#define CTL_HAUL_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/ask.h"
#include "ctl/flight.h"
#include "ctl/progress.h"

struct haul {
	/* in */
	struct ctl *ctl;
	const char *method;
	struct params p;
	const char *name; /* on the progress line */
	uint64_t total;   /* bytes that will go over the line; 0: nobody knows */
	bool quiet;
	int in_fd;  /* to the agent; -1: none.  Both stay the caller's */
	int out_fd; /* from the agent; -1: none */
	/* What came of it, before it is gone.  NULL: nothing is to be said.  An exit status. */
	int (*result)(struct haul *h, const struct val *result);
	void *ctx;

	/* private */
	struct task task;
	struct flight flight;
	struct progress progress;
	int status;
};

/* The exit status, with the reason on stderr. */
int haul(struct haul *h);

#endif
