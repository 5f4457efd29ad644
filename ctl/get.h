/* ctl/get.h - a directory of the guest, to here; get.c has what is no directory */
#ifndef CTL_GET_H
#define CTL_GET_H

#include <stdbool.h>

#include "ctl/transfer.h"
#include "proto/val.h"

/*
 * The directory T->from, of which ENTRY tells, as PATH here; FOLLOW a link there, where the command
 * line itself names that.  The exit status.
 */
MUST_CHECK int get_tree(struct transfer *t, const struct val *entry, const char *path, bool follow);

#endif
