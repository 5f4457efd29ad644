/* machine/resolv.h - the guest's name servers */
#ifndef MACHINE_RESOLV_H
#define MACHINE_RESOLV_H

#include "base/check.h"
#include "proto/args.h"

#define RESOLV_CONF "/etc/resolv.conf"

/* A longer list is none of servers: resolvers ask three of them (resolv.conf(5)). */
#define RESOLV_MAX 16

/* Their addresses, at most RESOLV_MAX, become the file, as a whole.  0 or -errno.  Thread: worker. */
MUST_CHECK int resolv_write(const struct strs *servers);

#endif
