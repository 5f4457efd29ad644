/* ctl/put.h - what put.c and put_tree.c share */
#ifndef CTL_PUT_H
#define CTL_PUT_H

#include "ctl/transfer.h"

/*
 * FD, open to read and called NAME here, as PATH of the guest; MODE or, negative, the guest's own.
 * Consumes FD, PATH and NAME.
 */
void put_file(struct transfer *t, int fd, char *path, char *name, int mode);

/* The directory t->from as PATH of the guest.  The exit status so far. */
int put_tree(struct transfer *t, const char *path);

#endif
