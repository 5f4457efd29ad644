/*
 * ctl/ask.h - one call with parameters of a command line
 *
 *	struct params p = {0};
 *	params_text(&p, "path", path);
 *	params_text(&p, "user", user);          // NULL: left out
 *	status = ask(ctl, "fs.stat", &p, &result);
 *
 * Strings are borrowed until the call was sent.
 */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl/command.h"
#include "ctl/relay.h"

/* More than any method has. */
#define MAX_PARAMS 16

struct param {
	const char *key;
	enum { PARAM_TEXT, PARAM_TEXTS, PARAM_UINT, PARAM_BOOL } type;
	const char *text;
	char **texts;
	uint64_t number; /* also how many texts, and true */
};

struct params {
	struct param list[MAX_PARAMS];
	size_t n;
	const char *except; /* as in struct relay */
};

/* One of each name: given again, the last counts. */
void params_text(struct params *p, const char *key, const char *text);        /* NULL: left out */
void params_texts(struct params *p, const char *key, char **texts, size_t n); /* 0: left out */
void params_uint(struct params *p, const char *key, uint64_t number);
void params_flag(struct params *p, const char *key, bool set); /* false: left out */
void params_bool(struct params *p, const char *key, bool value);

/* The map of them; CTX is a struct params. */
void params_encode(void *ctx, struct enc *e);

/* As relay_run: 0 with the result, or an exit status. */
MUST_CHECK int ask(
	struct ctl *ctl, const char *method, struct params *p, const struct val **result);

/* The same, with the call's events and data to TAKE. */
MUST_CHECK int ask_stream(struct ctl *ctl, const char *method, struct params *p,
	int (*take)(void *ctx, const struct client_msg *msg), void *ctx, const struct val **result);

/*
 * An exit status out of those of two parts of one command: what a single thing suffered lets the
 * next one go on, the loss of the agent or a signal does not.
 */
int status_worse(int a, int b);
bool status_final(int status);

#endif
