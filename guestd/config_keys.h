/*
 * guestd/config_keys.h - the table of keys, for those who read sources of configuration
 *
 * Thread: the only one there is.
 */
#ifndef GUESTD_CONFIG_KEYS_H
#define GUESTD_CONFIG_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

/* Where the sentence goes that says what is wrong. */
struct why {
	char *text;
	size_t len;
};

/* Writes it.  Returns -EINVAL. */
int config_bad(struct why *why, const char *fmt, ...) PRINTF(2, 3);

/*
 * One of `set`, `yes`, `text` and `list` says where a value goes; the last two take a copy of any that
 * is not empty, if `check` does not object.
 */
struct key {
	const char *name, *value, *help; /* without a value: a switch */
	/* 0; -EINVAL for a wrong value, else what the system refused; with a sentence. */
	int (*set)(const char *value, struct why *why);
	bool *yes;
	const char **text;
	const char ***list; /* ended by NULL */
	int (*check)(const char *value, struct why *why);
	bool policy; /* whom the agent serves with what: init that cannot have it serves nobody */
	bool file;   /* the value names a file, which may be in a root that is not there yet */
	bool guest;  /* for init alone, and no option */
};

/* NULL: there is none of that name, of LEN bytes. */
const struct key *config_find(const char *name, size_t len);

/*
 * Sets it; VALUE is NULL where only the name was given.  *FRESH_LISTEN is true until the source has
 * named an endpoint: its first one replaces those of weaker sources.  As for `set`.
 */
MUST_CHECK int config_set(
	const struct key *key, const char *value, bool *fresh_listen, struct why *why);

/* All is as if nothing had been configured. */
MUST_CHECK int config_set_defaults(bool as_init, struct why *why);

#endif
