/*
 * guestd/store.h - the service manager as a keeper of pipes (keeper.h): systemd's store of descriptors
 *
 * FDSTORE=1 hands it a descriptor, by way of NOTIFY_SOCKET; FDSTOREREMOVE=1 lets it forget one by its
 * name.  A service that is started again finds them among its descriptors, behind those of socket
 * units, which have other names.  It is used where the unit's environment has FDSTORE, the number
 * that may be stored: systemd 254 sets that where the unit has FileDescriptorStoreMax=, an older one does
 * not say, and would complain of each that it has no room for.
 *
 * Thread: loop.
 */
#ifndef GUESTD_STORE_H
#define GUESTD_STORE_H

/* Takes what was stored, and FDSTORE out of the environment.  Behind notify_init's socket. */
void store_init(void);

#endif
