/*
 * proc/record.h - what an agent notes of each process, for the one that comes after it
 *
 * A msgpack array [version, map] at the process's cgroup (cgroup_note), so it lives and dies with
 * that.  It costs as much as a fiftieth of a short process: so one that has an id of its client's, and
 * may be asked for again, is noted at once, any other when it is answered for (proc.start) or has lived
 * for a moment.
 *
 * Thread: loop.
 */
#ifndef PROC_RECORD_H
#define PROC_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "proc/spec.h"

struct process;

struct record {
	struct spec spec; /* what matters of a process that runs; `cmd` has become `argv` */
	const char *user, *cwd;
	uint64_t pid;
	uint64_t started_us, started_mono_us;
	uint64_t cloned_us[2]; /* since boot: it was cloned between these */
	uint64_t pipe[3]; /* inodes of its stdin, stdout, stderr; 0 = no pipe, or none any more */
	bool argv_truncated;
	bool dies; /* on_disconnect: "kill" */
	bool exited;
	uint64_t status, exited_us, duration_us; /* as in struct exit_record */
};

void record_start(void);
void record_stop(void);

/* P has a pid.  Notes it now or soon; nothing happens where it has no cgroup. */
void record_begin(struct process *p);

/* Its leader is gone: not soon any more. */
void record_forget(struct process *p);

/* Notes P, or notes it again: something of it has changed.  From the first time on its output is kept. */
void record_write(struct process *p);

/*
 * What the LEN bytes at NOTE say.  They are not trusted: NULL, with WHY (of WHY_LEN bytes) filled, where
 * they say nothing that makes sense.  It lies in *ARENA, as a process's parameters do (req.h), which
 * the caller then owns.
 */
const struct record *record_read(
	const char *note, size_t len, struct arena **arena, char *why, size_t why_len);

#endif
