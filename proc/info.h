/* proc/info.h - ProcessInfo: what the agent tells of a process of its own */
#ifndef PROC_INFO_H
#define PROC_INFO_H

#include "proc/process.h"
#include "proto/enc.h"

/* Of an argv longer than this, a list tells the beginning. */
#define INFO_ARGV_MAX 4096u

/* One map.  P runs, or has run.  At most ARGV_MAX bytes of its argv. */
void info_encode(const struct process *p, size_t argv_max, struct enc *e);

#endif
