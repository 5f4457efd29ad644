/*
 * system/sample.h - how the guest does at one moment, from /proc and statfs(2)
 *
 * Counters are cumulative, as the kernel has them: rates are the reader's, who knows since when.  What
 * the kernel does not tell is left out.
 */
#ifndef SYSTEM_SAMPLE_H
#define SYSTEM_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/enc.h"
#include "system/mountinfo.h"

/* Filled by sample_take: see sample.c. */
struct sample;

/* CGROUP is the directory of the agent's processes, or NULL.  On a worker; never NULL. */
struct sample *sample_take(const char *cgroup);
void sample_free(struct sample *s);

/* The pairs of the map, without `agent.calls`, which is CALLS; how many. */
size_t sample_encode(const struct sample *s, size_t calls, struct enc *e);

/* CPU time used in the cgroup, in microseconds; UINT64_MAX: it is not told.  Reads a file. */
uint64_t cgroup_cpu_us(const char *dir);

#endif
