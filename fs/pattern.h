/*
 * fs/pattern.h - a regular expression (POSIX ERE) for lines, within bounds
 *
 * The time of a search grows with the square of a line's length at worst: callers cut long ones.  libc
 * remembers what it learns of a text, without bound, and takes its time to learn: where it took long
 * it is made to forget.  What it makes of an expression is bounded by refusing those that are deep, or
 * get large by repetitions.
 *
 * Bytes are bytes: the locale is C.
 *
 * Owner: the caller.  Thread: worker, one at a time.
 */
#ifndef FS_PATTERN_H
#define FS_PATTERN_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

struct pattern {
	/* private */
	const char *text; /* borrowed */
	int flags;
	bool compiled;
	bool literal; /* no more than its own bytes: then nothing is compiled */
	size_t text_len;
	regex_t regex;
	uint64_t spent_us; /* since it was compiled */
};

/* 0, or ERR_BAD_PARAMS or -ENOMEM with a sentence in WHY.  pattern_fini in any case. */
MUST_CHECK int pattern_init(
	struct pattern *p, const char *text, bool ignore_case, char *why, size_t why_len);

/* A zeroed one may be, too. */
void pattern_fini(struct pattern *p);

/*
 * Searches whole lines, LEN bytes of them without the newline of the last one, and without NULs.
 * LINES[LEN] is ours meanwhile.  1, and in *AT where a match begins: no earlier line has one, and
 * the line itself may have none, since a match may go on in the next; 0: no line matches; -ENOMEM.
 */
MUST_CHECK int pattern_search(struct pattern *p, char *lines, size_t len, size_t *at);

/* Does this one line match?  NOT_BEGIN, NOT_END: there is more of it before or behind. */
MUST_CHECK int pattern_match(
	struct pattern *p, char *line, size_t len, bool not_begin, bool not_end);

#endif
