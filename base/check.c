/* base/check.c - the end of the line for broken invariants */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *cond, const char *file, int line)
{
	fprintf(stderr, "assertion failed: %s at %s:%d\n", cond, file, line);
	abort();
}
