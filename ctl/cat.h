/* ctl/cat.h - a file of the guest on standard output */
#ifndef CTL_CAT_H
#define CTL_CAT_H

#include "ctl/command.h"

/*
 * PATH with the rights of USER (NULL: the agent's).  On a terminal without control characters, with
 * --json as lines.  The exit status.
 */
int cat(struct ctl *ctl, const char *path, const char *user);

#endif
