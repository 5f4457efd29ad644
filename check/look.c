/* check/look.c - names in a directory */
#include "check/look.h"

#include <fnmatch.h>

const char *look_next(DIR **state, const char *dir, const char *pattern)
{
	const struct dirent *entry;

	if (!*state)
		*state = opendir(dir);
	while (*state && (entry = readdir(*state))) {
		if (fnmatch(pattern, entry->d_name, FNM_PERIOD) == 0)
			return entry->d_name;
	}
	if (*state)
		closedir(*state);
	*state = NULL;
	return NULL;
}

size_t look_count(const char *dir, const char *pattern)
{
	DIR *state = NULL;
	size_t n = 0;

	while (look_next(&state, dir, pattern))
		n++;
	return n;
}
