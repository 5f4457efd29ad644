/* ctl/ended.h - how a process ended: an Exit of the agent */
#ifndef CTL_ENDED_H
#define CTL_ENDED_H

#include <stdio.h>

#include "ctl/command.h"

/*
 * The exit status of a shell whose last command ended so: its own, or 128 and the number of the
 * signal.  What more there is to know, a timeout for instance, goes to stderr.
 */
int ended_status(const struct ctl *ctl, const struct val *ended);

/* "exited with status 3", "killed by SIGKILL, out of memory". */
void ended_print(FILE *f, const struct val *ended);

#endif
