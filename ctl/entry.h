/* ctl/entry.h - an Entry of the agent, for people */
#ifndef CTL_ENTRY_H
#define CTL_ENTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/table.h"
#include "proto/val.h"

/* The columns of `ls -l`, and a row of them.  NAME: "name" or "path". */
struct table *entry_table(void);
void entry_row(struct table *t, const struct val *entry, const char *name);

/* All of it, a line each. */
void entry_print(FILE *f, const struct val *entry);

/* Each of {"entries": [...]}; stops where ONE returns not 0, and returns that. */
int entries_each(
	const struct val *event, int (*one)(void *ctx, const struct val *entry), void *ctx);

/*
 * The JSON of a call whose entries came as events, as if they were in its result:
 * {"entries":[...],"truncated":false}, a line for each entry.
 */
struct entries_json {
	bool any;
};

void entries_json_add(struct entries_json *j, const struct val *entry);
void entries_json_end(struct entries_json *j, const struct val *result);

#endif
