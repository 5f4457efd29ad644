/*
 * proc/walk.h - all processes of the guest, as /proc has them
 *
 * Thread: any; a walk of a thousand takes some ten milliseconds.
 */
#ifndef PROC_WALK_H
#define PROC_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "proto/limits.h"

struct walk_entry {
	pid_t pid, ppid, session;
	uid_t uid;  /* the effective one */
	char state; /* 'R', 'S', ... as in proc(5) */
	char comm[64];
	uint64_t threads, user_ms, system_ms, rss;
	uint64_t started_us;   /* after boot */
	size_t argv, argv_len; /* where its arguments stand in walk.argv, each ended by a NUL */
	bool argv_truncated;
};

/* By rising pid. */
struct walk {
	struct walk_entry *at;
	size_t n, cap;
	struct buf argv;
	uint64_t truncated; /* processes beyond MAX_WALK */
};

/* 0, -ENOMEM, or why /proc cannot be read.  To be ended with walk_fini in any case. */
MUST_CHECK int walk_proc(struct walk *w);
void walk_fini(struct walk *w);

/* The one with that pid, or NULL. */
const struct walk_entry *walk_find(const struct walk *w, pid_t pid);

#endif
