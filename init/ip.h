/*
 * init/ip.h - `ip=` of the kernel command line, for kernels that cannot do it
 *
 * A kernel without CONFIG_IP_PNP passes over the word, and one whose network driver is a module
 * has no interface yet when it looks for one.  Hosts give it all the same.
 *
 * Thread: any, but for ip_read: the only one there is.
 */
#ifndef INIT_IP_H
#define INIT_IP_H

#include <stdbool.h>

#include "base/check.h"
#include "guestd/words.h"

/* Long enough for each field there can be; what is longer is no address. */
struct ip {
	struct words_net net; /* points into the rest */
	char text[256], address[32];
};

/*
 * CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF:DNS:DNS (nfsroot.rst).  Without a device the
 * interface is "".  False where it has no static address of IPv4; *WHY is NULL where none was meant.
 */
bool ip_parse(const char *value, struct ip *ip, const char **why);

/* The one on the command line; its interface is the first one where none is named. */
bool ip_read(struct ip *ip);

/* Has INTERFACE an address of IPv4? */
bool ip_is_set(const char *interface);

#endif
