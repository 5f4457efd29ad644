/*
 * ctl/command.h - a command of guestctl, and what all of them stand on
 *
 * A command is one file: it puts a record into a linker set, which dispatch and --help walk.
 *
 *	COMMAND(ping) = {
 *		.name = "ping",
 *		.usage = "[-n COUNT]",
 *		.doc = "measure round trips",
 *		.run = run,
 *	};
 */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "ctl/client.h"

/* Exit statuses, unless a command has its own. */
enum {
	STATUS_OK = 0,
	STATUS_FAILED = 1, /* the agent's error, or ours, is on stderr */
	STATUS_USAGE = 2,
	STATUS_UNREACHABLE = 69, /* EX_UNAVAILABLE of sysexits.h */
	STATUS_SIGNALED = 128,   /* and the signal's number */
};

/* How long the agent may take to accept a connection, and to answer what costs it no work. */
#define ANSWER_TIMEOUT_MS 10000

struct command;

/* One run of guestctl. */
struct ctl {
	const char *endpoint;   /* NULL: none was given */
	const char *token_file; /* or NULL */
	bool json;
	bool wait_given;
	uint64_t wait_ms; /* --wait: how long an agent that does not answer is dialed again */
	const struct command *command;
	struct client *client; /* owned; NULL until ctl_connect */
};

struct command {
	const char *name;
	const char *usage;   /* what stands behind the name */
	const char *doc;     /* one line */
	const char *options; /* further lines of its --help, or NULL */
	/* argv[0] is the command's name.  The exit status. */
	int (*run)(struct ctl *ctl, int argc, char **argv);
};

/* A pointer, not the record, goes into the set: no padding surprises. */
#define COMMAND(sym)                                                                               \
	static const struct command sym##_command;                                                 \
	static const struct command *const sym##_command_entry                                     \
		__attribute__((used, section("commands"))) = &sym##_command;                       \
	static const struct command sym##_command

extern const struct command *const __start_commands[];
extern const struct command *const __stop_commands[];

/*
 * Connects and says hello with WINDOW (0: transport mode).  0, with ctl->client set and hello's
 * response in *HELLO; or an exit status, with the reason on stderr.
 */
MUST_CHECK int ctl_connect(struct ctl *ctl, uint32_t window, struct client_msg *hello);

/* Says what the agent's ERROR is.  STATUS_FAILED. */
int ctl_error(const struct ctl *ctl, const struct val *error);

/* Says that the connection failed, in the client's words.  STATUS_UNREACHABLE. */
int ctl_lost(const struct ctl *ctl);

/* Says what failed on our own side.  STATUS_FAILED. */
int ctl_fail(const struct ctl *ctl, const char *fmt, ...) PRINTF(2, 3);

/* Says which option getopt did not take, and the usage.  STATUS_USAGE. */
int ctl_bad_option(const struct ctl *ctl, char **argv);

/* Says what is wrong with the command line, and the usage.  STATUS_USAGE. */
int ctl_usage(const struct ctl *ctl, const char *fmt, ...) PRINTF(2, 3);

#endif
