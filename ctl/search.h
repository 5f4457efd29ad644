/* ctl/search.h - what find and grep have in common */
#ifndef CTL_SEARCH_H
#define CTL_SEARCH_H

#include <stdbool.h>
#include <stddef.h>

#include "ctl/ask.h"

struct search {
	const char *method;
	struct params p; /* all but the path and what is to be ignored */
	bool raw;        /* paths as they are, each ended by a NUL */
	char **ignore;   /* n_ignore of them; owned by the caller */
	size_t n_ignore;
};

/* Below each of the paths behind the options, which getopt has read.  The exit status. */
int search(struct ctl *ctl, int argc, char **argv, struct search *s);

#endif
