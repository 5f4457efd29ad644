/* ctl/put.h - a directory of ours, to the guest; put.c has what is no directory */
#ifndef CTL_PUT_H
#define CTL_PUT_H

#include "ctl/transfer.h"

/* The directory t->from as PATH of the guest.  The exit status so far. */
int put_tree(struct transfer *t, const char *path);

#endif
