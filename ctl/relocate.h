/* ctl/relocate.h - FROM... TO, as cp, mv and ln have it */
#ifndef CTL_RELOCATE_H
#define CTL_RELOCATE_H

#include "ctl/ask.h"
#include "ctl/command.h"

struct relocate {
	const char *method, *from_key, *to_key;
	const char *user;
	struct params more; /* further ones of each call */
	bool exact;         /* TO is never a directory to go into */
};

/* The arguments behind the options, which getopt has read.  The exit status. */
int relocate(struct ctl *ctl, int argc, char **argv, const struct relocate *r);

#endif
