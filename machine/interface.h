/* machine/interface.h - what a network interface is to be */
#ifndef MACHINE_INTERFACE_H
#define MACHINE_INTERFACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "proto/args.h"
#include "proto/err.h"

struct interface {
	const char *name;
	const char *address, *gateway; /* text, "10.0.0.2/24" and "10.0.0.1"; NULL = stays */
	uint64_t mtu;                  /* 0 = stays */
	bool up;
	struct strs dns; /* .at NULL = stays */
};

/*
 * Makes it so.  What is given replaces what was there: the address all others of its family, the
 * gateway the default route.  0, or -errno or an enum rpc_err with the failure in F.
 * Thread: worker, or PID 1 before it has one.
 */
MUST_CHECK int interface_set(const struct interface *a, struct failure *f);

#endif
