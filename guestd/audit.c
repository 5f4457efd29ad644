/* guestd/audit.c - a line for each call that changes something */
#include "guestd/audit.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "guestd/conn.h"
#include "guestd/req.h"

/* Of one parameter, and how many names of a list: a line is for a glance. */
#define SHOWN_BYTES 100
#define SHOWN_NAMES 8

/*
 * Parameters that are names of things.  What is not here is not told: a new parameter has to be put
 * here on purpose.
 */
static const char *const shown[] = {"fstype", "from", "host", "id", "interface", "label", "name",
	"names", "owner", "path", "pid", "port", "scope", "signal", "source", "target", "to",
	"user", "vars"};

struct line {
	char text[700];
	size_t len;
};

/* NAME=VALUE in letters that can stand in a log; a longer value is cut. */
static void add(struct line *l, const char *between, const char *value)
{
	size_t max = MIN(strlen(value), SHOWN_BYTES), room;

	room = sizeof(l->text) - l->len;
	if (strlen(between) + max + 4 > room)
		return;
	l->len += (size_t)snprintf(l->text + l->len, room, "%s", between);
	for (size_t i = 0; i < max; i++) {
		unsigned char c = (unsigned char)value[i];

		/* The bytes of other letters stay. */
		l->text[l->len] = '?';
		if (c > ' ' && c != 0x7f)
			l->text[l->len] = value[i];
		l->len++;
	}
	if (value[max]) {
		memcpy(l->text + l->len, "...", 3);
		l->len += 3;
	}
	l->text[l->len] = '\0';
}

static void add_vars(struct line *l, const struct vars *vars)
{
	for (size_t i = 0; i < MIN(vars->n, SHOWN_NAMES); i++)
		add(l, i ? "," : "", vars->at[i].name);
	if (vars->n > SHOWN_NAMES)
		add(l, ",", "...");
}

static void add_strs(struct line *l, const struct strs *strs)
{
	for (size_t i = 0; i < MIN(strs->n, SHOWN_NAMES); i++)
		add(l, i ? "," : "", strs->at[i]);
	if (strs->n > SHOWN_NAMES)
		add(l, ",", "...");
}

static void add_row(struct line *l, const struct arg *row, const void *field)
{
	char number[24], key[40];

	snprintf(key, sizeof(key), " %s=", row->name);
	switch (row->type) {
	case ARG_STR:
		if (*(const char *const *)field)
			add(l, key, *(const char *const *)field);
		break;
	case ARG_UINT:
	case ARG_INT:
		snprintf(number, sizeof(number), "%lld", (long long)*(const int64_t *)field);
		if (*(const int64_t *)field != row->dflt)
			add(l, key, number);
		break;
	case ARG_CHOICE:
		if (*(const unsigned *)field != (unsigned)-1)
			add(l, key, row->choices[*(const unsigned *)field]);
		break;
	case ARG_VARS:
		add(l, key, "");
		add_vars(l, field);
		break;
	case ARG_STRS:
		add(l, key, "");
		add_strs(l, field);
		break;
	default:
		break;
	}
}

static bool is_shown(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
		if (strcmp(shown[i], name) == 0)
			return true;
	}
	return false;
}

static void add_table(struct line *l, const struct arg *table, const void *args)
{
	for (const struct arg *row = table; row && row->name; row++) {
		const char *field = (const char *)args + row->offset;

		if (row->type == ARG_PART)
			add_table(l, row->part, field);
		else if (row->type == ARG_STRS && strcmp(row->name, "argv") == 0) {
			/* The program, and none of its arguments. */
			const struct strs *argv = (const void *)field;

			if (argv->n)
				add(l, " program=", argv->at[0]);
		} else if (is_shown(row->name)) {
			add_row(l, row, field);
		}
	}
}

void audit(const struct req *req)
{
	struct line l;

	l.len = (size_t)snprintf(l.text, sizeof(l.text), "%s conn=%u call=%u", req->method->name,
		req->conn->number, req->id);
	add_table(&l, req->method->args, req->args);
	log_audit(l.text);
}
