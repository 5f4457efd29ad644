/*
 * ctl/terminal.h - the terminal that somebody sits at, while it belongs to the guest
 *
 * Raw: each key goes to the guest as it is typed, Ctrl-C as byte 3, and what the guest prints is
 * not touched.  It has to be given back on every way out, signals included.
 */
#ifndef CTL_TERMINAL_H
#define CTL_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

struct window {
	unsigned rows, cols; /* both 0: no terminal, or one that does not know */
};

/* Of the terminal at standard input, or else at standard output. */
struct window terminal_window(void);

/* Sets the terminal at standard input raw; nothing to do where there is none.  0 or -errno. */
MUST_CHECK int terminal_raw(void);
bool terminal_is_raw(void);

/* Sets it as it was.  Idempotent, also for a signal handler. */
void terminal_restore(void);

/* The key that, at the beginning of a line and before a dot, means ourselves: ssh's `~.`. */
struct escape {
	char key; /* 0: none */
	/* private */
	bool inside_line, pending;
};

/* A character, ^ and a character, or "none".  False for anything else. */
bool escape_parse(struct escape *e, const char *text);

/*
 * What of LEN typed bytes goes on: into OUT, of LEN + 1 bytes; IN may be OUT + 1.  How many;
 * *LEAVE: key and dot were typed, and what follows them is dropped.
 */
size_t escape_filter(struct escape *e, const char *in, size_t len, char *out, bool *leave);

#endif
