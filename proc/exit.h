/*
 * proc/exit.h - how a process ended: facts, never folded into one another
 */
#ifndef PROC_EXIT_H
#define PROC_EXIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "proto/enc.h"

struct artifacts;
struct req;

struct exit_record {
	int status; /* as wait(2) gives it */
	struct rusage usage;
	bool running; /* it has not ended: what is known so far */
	bool unknown; /* it was not our child, and nobody could tell: status and usage say nothing */
	bool timed_out;
	bool oom_killed; /* it, or something that it started */
	bool eof; /* both outputs were at their end, nothing was left behind that holds them */
	uint64_t started_us, exited_us;    /* since the epoch */
	uint64_t duration_us;              /* monotonic */
	uint64_t bytes[2];                 /* written by the process: stdout, stderr */
	uint64_t dropped[2];               /* of those: overwritten before anybody took them */
	const struct artifacts *artifacts; /* the process's, or NULL */
	bool artifacts_truncated;          /* left out: they do not fit */
};

/* The pairs of the record into a map that the caller began; how many. */
size_t exit_encode(const struct exit_record *x, struct enc *e);

/*
 * The response to REQ.  Where artifacts would make it longer than a frame, they are left out and
 * `artifacts_truncated` says so.
 */
void exit_reply(struct req *req, const struct exit_record *x);

/* "SIGTERM"; NULL for a number without a name. */
const char *signal_name(int number);

/* 15 for "TERM", "SIGTERM", "term" and "15"; -1 for what is no signal. */
int signal_number(const char *text);

/* For the rows of parameters (args.h). */
const char *signal_check(const char *text);

#endif
