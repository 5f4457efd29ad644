/*
 * ctl/progress.h - how far a transfer is, on the terminal at standard error
 *
 *	/srv/image.raw   45%  1.2 GiB  210.3 MiB/s  ETA 0:07
 *	root.tar.gz      45%  8190 files  1.2 GiB  210.3 MiB/s  ETA 0:07
 *
 * Where there is none, and with --json, nothing is shown.  Thread: main.
 */
#ifndef CTL_PROGRESS_H
#define CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "ctl/command.h"

struct progress {
	bool shown;
	const char *name; /* borrowed */
	uint64_t total;   /* bytes; 0: nobody knows */
	uint64_t done;    /* bytes; progress_add */
	uint64_t files;   /* the owner's; 0: they are not shown */
	/* private */
	uint64_t start_us, drawn_us, drawn_done;
	double rate; /* bytes a second, of late */
	bool line;   /* one is on the screen */
};

/* SHOWN false: it counts without a word. */
void progress_start(
	struct progress *p, const struct ctl *ctl, const char *name, uint64_t total, bool shown);
void progress_add(struct progress *p, uint64_t bytes);

/* Draws where it is time to; CTX is a struct progress. */
void progress_tick(void *ctx);

/* Clears the line, for somebody who has something to say. */
void progress_clear(struct progress *p);

/* The last line stays, with what it took; where it FAILED none does. */
void progress_end(struct progress *p, bool failed);

#endif
