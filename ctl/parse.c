/* ctl/parse.c - numbers on the command line */
#include "ctl/parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool parse_uint(const char *text, uint64_t max, uint64_t *value)
{
	unsigned long long n;

	if (!*text || text[strspn(text, "0123456789")])
		return false;
	errno = 0;
	n = strtoull(text, NULL, 10);
	if (errno || n > max)
		return false;
	*value = n;
	return true;
}

bool parse_seconds(const char *text, uint64_t *ms)
{
	char *end;
	double s = strtod(text, &end);
	uint64_t n;

	if (end == text || *end || !(s >= 0 && s <= 315576000))
		return false;
	n = (uint64_t)(s * 1000 + 0.5);
	if (s > 0 && n == 0)
		return false;
	*ms = n;
	return true;
}
