/*
 * guestd/config.h - what the agent was told at its start
 *
 * One table of keys serves the file, the kernel command line (`guestd.KEY=VALUE`) and the
 * options (`--KEY VALUE`), from weak to strong.  Read-only once the loop runs.
 */
#ifndef GUESTD_CONFIG_H
#define GUESTD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"
#include "vsock/listen.h"

enum guest_kind { KIND_SANDBOX, KIND_COMPUTER };

struct config {
	struct endpoint *listen;
	size_t n_listen;
	struct peer_policy peers;
	enum guest_kind kind;
	const char *file;       /* that was read; NULL = none */
	const char *token_file; /* NULL = none */
	const char *token;      /* NULL = none wanted */
	size_t token_len;
	const char **allow, **deny; /* method names, ended by NULL; NULL = not given */
	const char *run_dir;
	const char *default_user; /* NULL = the agent's own */
	bool dial_any;            /* net.dial reaches more than loopback and Unix sockets */
	const char *cgroup;       /* "auto", "off", or the path of the one that is ours to divide */
	const char *watch_backend; /* "auto", "inotify" or "fanotify" */
};

/* What else a command line can ask for. */
enum config_action { ACTION_RUN, ACTION_HELP, ACTION_VERSION, ACTION_METHODS, ACTION_CHECK };

/*
 * Reads everything.  0; or 2 for a bad command line, 1 for anything else, then the sentence is
 * in WHY.  NAME of a bad line of the file is part of it.
 */
MUST_CHECK int config_read(
	int argc, char **argv, enum config_action *action, char *why, size_t why_len);

const struct config *config(void);

/* For --check alone, which reads on behind what is wrong: all of that, ended by NULL. */
const char *const *config_problems(void);

/* For --help: the options, a line each. */
void config_print_options(void);

#endif
