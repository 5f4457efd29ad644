/*
 * guestd/config.h - what the agent was told at its start
 *
 * One table of keys serves the file, the kernel command line (`guestd.KEY=VALUE`) and the
 * options (`--KEY VALUE`), from weak to strong.  guestd.conf(5) has them all.  Read-only once the
 * loop runs.
 */
#ifndef GUESTD_CONFIG_H
#define GUESTD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"
#include "vsock/listen.h"

enum guest_kind { KIND_SANDBOX, KIND_COMPUTER };
enum leftovers { LEFTOVERS_KEEP, LEFTOVERS_KILL };

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
	const char *resumed_dir;   /* programs to be run after a restore */
	bool seal;                 /* run from sealed memory */
	const char *console;       /* the tty of the debug shell; NULL = none */
	const char *handoff;       /* the init that becomes process 1; NULL = we stay it */
	enum leftovers leftovers;  /* what becomes of the processes of a dead predecessor */
	const char **start;        /* argv of what runs once the agent is ready; NULL = nothing */

	/* Where the agent is the guest's init; NULL = not given */
	bool as_init;
	const char *refused; /* why it must serve nobody; NULL: it may */
	const char *root, *root_type, *root_options, *overlay, *hostname;
	bool root_read_only, grow;
	unsigned root_wait_s;
	const char **mounts, **nets, **sysctls; /* as words.h takes them; ended by NULL */
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

/* For those who read it: PATH, which stays, is the file that there is. */
void config_set_file(const char *path);

/* Where cgroup is "auto", it is PATH from now on, which stays.  Before the agent is forked. */
void config_set_cgroup(const char *path);

/*
 * Instead, in PID 1 and before there is an agent: reads the file and the kernel command line.
 * config_read has nothing to do then.  A mistake is logged and left out, whatever it is, because
 * somebody has to start the guest; but a policy that cannot be had (KEY is marked so, or its source
 * cannot be read whole) is no policy that may be left out: `refused` is set, and nobody listens.
 *
 * Once the guest's root has been changed, or could not be, config_read_root reads again: the file in
 * there, unless the first one had been found where nobody can write to it, and the token.
 */
void config_read_init(void);
void config_read_root(void);

/* Not in a container: there /proc/cmdline says how the machine was started that it is in. */
bool config_line_is_ours(void);

/* As init: the agent runs, but serves nobody. */
void config_refuse(const char *why);

/* For --check alone, which reads on behind what is wrong: all of that, ended by NULL. */
const char *const *config_problems(void);

/* For --help: the options, and the keys that are no options, a line each. */
void config_print_options(void);
void config_print_guest(void);

#endif
