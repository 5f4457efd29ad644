/*
 * proc/target.h - which process a call means: `id`, `pid` or `label`
 */
#ifndef PROC_TARGET_H
#define PROC_TARGET_H

#include <stdint.h>

#include "proc/process.h"
#include "proto/args.h"
#include "proto/err.h"

struct target {
	const char *id;
	uint64_t pid;
	const char *label;
};

/* Rows for ARG_INCLUDE: all three, or without the label. */
extern const struct arg target_table[];
extern const struct arg target_one_table[];

/* A running one, else the newest.  NULL, with F filled: `bad_params` or `not_found`. */
struct process *target_find(const struct target *t, struct failure *f);

/* 0, or ERR_BAD_PARAMS with F filled unless exactly one is given. */
int target_check(const struct target *t, struct failure *f);

#endif
