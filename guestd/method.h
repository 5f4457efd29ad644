/*
 * guestd/method.h - a method is data
 *
 * One file a method: its parameters as a struct and a table, one short function, and at the
 * bottom the record.  `METHOD(fs_stat) = {...};` puts a pointer to it into a linker set that
 * the core walks: no list to keep, no code before main.
 *
 *	METHOD(system_ping) = {
 *		.name = "system.ping",
 *		.doc = "The agent's clocks: is it there, and how far away?",
 *		.call = ping_call,
 *	};
 *
 * Link objects, never an archive: from an archive the linker takes only what is referred to.
 */
#ifndef GUESTD_METHOD_H
#define GUESTD_METHOD_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/args.h"

struct req;
struct steps;
struct work;

struct method {
	const char *name;
	const char *doc;
	const struct arg *args; /* NULL = none */
	size_t args_size;       /* of the struct that they are decoded into */
	/*
	 * Runs on the loop thread, must not block, and owns the answer: it replies, fails, or
	 * opens a stream (chan.h) that does so later.  ARGS lives as long as the request.
	 */
	void (*call)(struct req *req, void *args);
	/* Or, instead: runs on a worker, and may block (work.h). */
	int (*work)(struct work *w);
	/* Or: step by step on workers (steps.h). */
	const struct steps *steps;
	size_t who; /* where the args name users, if has_who */
	bool has_who;
	bool quiet; /* looks and no more: no activity of the guest (activity.h) */
	/* Changes something in the guest: an audit line tells of each call (audit.h). */
	bool changes;
	/* Changes files or starts processes: the same, and it is refused while the guest is frozen. */
	bool writes;
	bool secret;      /* its parameters may hold secrets: overwritten when they are used up */
	bool streams;     /* sends or takes data or events: for system.methods */
	bool before_auth; /* hello: answered before the token matched */
};

#define METHOD(sym)                                                                                \
	static const struct method sym##_method;                                                   \
	static const struct method *const sym##_method_entry                                       \
		__attribute__((used, section("methods"))) = &sym##_method;                         \
	static const struct method sym##_method

extern const struct method *const __start_methods[];
extern const struct method *const __stop_methods[];

/* Sorts the set by name and applies the policy.  0, or -EINVAL with a sentence in WHY. */
MUST_CHECK int method_init(
	const char *const *allow, const char *const *deny, char *why, size_t why_len);

/* NULL for an unknown name. */
const struct method *method_find(const char *name, size_t len);

/* Left out by --allow or named by --deny? */
bool method_disabled(const struct method *m);

/* All methods, sorted by name. */
size_t method_count(void);
const struct method *method_at(size_t i);

/* `fs.stat(path, follow?)`, a line each: what --methods prints. */
void method_print(void);

#endif
