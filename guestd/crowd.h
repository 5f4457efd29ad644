/*
 * guestd/crowd.h - who gives way when there are too many connections
 *
 * A host that died, or a guest that was restored, leaves connections behind that nobody will ever
 * close.  They must not keep out the host that comes.  Thread: loop.
 */
#ifndef GUESTD_CROWD_H
#define GUESTD_CROWD_H

#include "guestd/conn.h"

/*
 * The one of ALL (conn.link) that is least missed, or NULL where each is in use: first those that never
 * got as far as a call, then those without one, of each the one that is silent for longest.
 */
struct conn *crowd_least_missed(const struct list *all);

#endif
