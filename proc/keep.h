/*
 * proc/keep.h - the output pipes of processes, kept for the next agent (guestd/keeper.h)
 *
 * Not that of the input: its process would not see the end of it.  Thread: loop.
 */
#ifndef PROC_KEEP_H
#define PROC_KEEP_H

struct process;
struct stream;

/* P was noted: its pipes are to be found again.  Those that are kept already stay so. */
void keep_output(struct process *p);

/* Nobody here reads from it any more. */
void keep_end(struct stream *stream);

#endif
