/* guestd/frozen.c - is the guest frozen for a snapshot? */
#include "guestd/frozen.h"

static bool is_frozen;

bool guest_is_frozen(void)
{
	return is_frozen;
}

void guest_set_frozen(bool frozen)
{
	is_frozen = frozen;
}
