/*
 * guestd/frozen.h - is the guest frozen for a snapshot?
 *
 * While it is, dispatch.c refuses the methods that say `.writes`: they would hang in a frozen file
 * system, or start what is to stand still.  Thread: loop.
 */
#ifndef GUESTD_FROZEN_H
#define GUESTD_FROZEN_H

#include <stdbool.h>

bool guest_is_frozen(void);
void guest_set_frozen(bool frozen);

#endif
