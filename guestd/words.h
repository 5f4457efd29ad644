/*
 * guestd/words.h - configuration as text: words of a kernel command line, lines of a file, and
 * the values that have parts
 *
 * Each cuts up the text that it is given, and what it hands out lies in there.  No memory, no files.
 * Thread: any.
 */
#ifndef GUESTD_WORDS_H
#define GUESTD_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

/*
 * The next word of a kernel command line, as the kernel itself takes it: a blank within double quotes
 * ends none, and quotes around the whole word or around the value are no part of it.  *VALUE is NULL
 * where the word has no '='.  False at the end.
 */
bool words_next(char **rest, char **name, char **value);

/*
 * A line of a configuration file.  1 with its key and value; 0 for an empty one or a comment; -EINVAL
 * where it is not `key = value`, then *KEY is its first word.
 */
MUST_CHECK int words_line(char *line, char **key, char **value);

/*
 * The values below: 0, or -EINVAL with what is wrong in *WHY, a constant.
 */

/* SOURCE:TARGET:FSTYPE[:OPTIONS]; the target is an absolute path, so the source may hold colons. */
struct words_mount {
	const char *source, *target, *fstype, *options; /* options may be "" */
};
MUST_CHECK int words_mount(char *text, struct words_mount *m, const char **why);

/* INTERFACE[,address=A/N][,gateway=A][,mtu=N][,dns=A]...; the addresses are not looked at. */
#define WORDS_DNS_MAX 16
struct words_net {
	const char *interface, *address, *gateway; /* NULL = not given, but for the first */
	uint32_t mtu;                              /* 0 = not given */
	const char *dns[WORDS_DNS_MAX];
	size_t n_dns;
};
MUST_CHECK int words_net(char *text, struct words_net *n, const char **why);

/*
 * KEY=VALUE.  *PATH is the key below /proc/sys: its dots become slashes, unless it has a slash and so
 * is a path already (sysctl(8)).
 */
MUST_CHECK int words_sysctl(char *text, const char **path, const char **value, const char **why);

#endif
