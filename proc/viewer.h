/*
 * proc/viewer.h - a follower with a connection behind it: what proc.exec, proc.attach and
 * pty.open have in common
 *
 *	greeting -> gaps, data, events, ends of channels ... -> Exit
 *
 * What the connection asks for (pull) is handed out of the rings as it lies there; the response
 * goes when the process has ended and all of its output and events are on their way.
 *
 * Owner: the request's stream; it frees itself with it.  Thread: loop.
 */
#ifndef PROC_VIEWER_H
#define PROC_VIEWER_H

#include <stdbool.h>
#include <stdint.h>

#include "guestd/event.h"
#include "proc/process.h"

struct req;

struct viewer {
	struct follower f;
	struct req *req;
	const struct viewer_kind *kind;
	struct event_reader events; /* those that the process sends */
	uint64_t lost_at_start[2];  /* bytes that were asked for and are gone */
	bool live;                  /* until the end; else what there is, and no more */
	struct exit_record exit;    /* as it was when the process ended */
	unsigned turn;              /* the stream that goes first next time */
	bool greeted, end_sent[2], canceled;
};

struct viewer_kind {
	/* The event that comes first; the process runs, or has run. */
	void (*greet)(struct viewer *v);
	bool stops;      /* a cancel stops the process: the call is its life */
	bool to_the_end; /* also what comes behind the exit, from whoever still holds the output */
};

/*
 * REQ becomes a stream that shows P, from the oldest byte that is kept.  The caller may still
 * move v->f.position, and calls viewer_begin when P has been started, or runs already.
 */
struct viewer *viewer_open(struct req *req, struct process *p, const struct viewer_kind *kind);

/* Greets, if P runs already; else that follows when it does. */
void viewer_begin(struct viewer *v);

/* `{type, id, pid}` */
void viewer_greet_started(struct viewer *v);

#endif
