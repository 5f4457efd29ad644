/* machine/name.c - what a host may be called */
#include "machine/name.h"

#include <stddef.h>
#include <string.h>

/* __NEW_UTS_LEN: the kernel takes no more. */
#define NAME_LEN_MAX 64

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";

const char *name_check(const char *name)
{
	size_t n = strspn(name, letters);

	return n && !name[n] && n <= NAME_LEN_MAX && *name != '-' && *name != '.'
		       ? NULL
		       : "1 to 64 letters, digits, dots and hyphens, beginning with neither of the latter";
}
