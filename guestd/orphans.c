/* guestd/orphans.c - the ends of processes that were not ours to wait for */
#include "guestd/orphans.h"

#include <stddef.h>

static void (*listener)(pid_t pid, int status);
static bool expected;

void orphans_set_listener(void (*fn)(pid_t pid, int status))
{
	listener = fn;
}

void orphans_expect(void)
{
	expected = true;
}

bool orphans_expected(void)
{
	return expected;
}

void orphans_ended(pid_t pid, int status)
{
	if (listener)
		listener(pid, status);
}
