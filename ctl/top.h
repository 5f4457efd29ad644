/*
 * ctl/top.h - one look at the guest, and what two of them tell
 */
#ifndef CTL_TOP_H
#define CTL_TOP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "proto/val.h"

struct picture_process {
	uint64_t pid, uid, rss, cpu_ms, started_us;
	double busy; /* of one processor, since the look before: filled when it is printed */
	char state;
	char *command;
};

struct picture {
	uint64_t time_us;
	uint64_t user_ms, system_ms, idle_ms, iowait_ms, steal_ms, cpus;
	double load[3];
	uint64_t memory, used, swap, swap_free;
	uint64_t rx, tx, read, written;
	uint64_t agent_rss, agent_cpu_ms, agent_calls;
	struct picture_process *processes; /* owned; sorted by pid */
	size_t n_processes;
};

/* Out of the results of system.metrics and of proc.list; P was zeroed before. */
void picture_metrics(struct picture *p, const struct val *metrics);
void picture_processes(struct picture *p, const struct val *list);
void picture_fini(struct picture *p);

/* In ROWS lines at most; 0: all. */
void picture_print(FILE *f, const struct picture *now, const struct picture *before, unsigned rows);

#endif
