/* proc/exec.h - what pty.open shares with proc.exec, and proc.attach with both */
#ifndef PROC_EXEC_H
#define PROC_EXEC_H

#include "proc/spec.h"
#include "proc/viewer.h"

/* How a call wants to see a process. */
struct view_args {
	uint64_t stall_ms; /* see follower_set_stall */
};

extern const struct arg view_table[];

struct exec_args {
	struct spec spec;
	struct view_args view;
};

/* Attaches REQ to the process with the id that is given, or starts one. */
void exec_call(struct req *req, const struct exec_args *args);

#endif
