/*
 * proto/args.h - parameters as a typed table, decoded into a struct
 *
 *	struct stat_args { const char *path; bool follow; };
 *	static const struct arg stat_table[] = {
 *		ARG(struct stat_args, path, .required = true, .check = arg_abs_path),
 *		ARG(struct stat_args, follow),
 *		ARG_END,
 *	};
 *
 * A row takes its name, place and type from the field itself, so that table and struct cannot
 * disagree.  By the time a method runs, every parameter is known, present where required, of
 * its type, in its range, and copied into the request's arena.
 */
#ifndef PROTO_ARGS_H
#define PROTO_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "proto/scan.h"

/* Bytes of a parameter; `at` is NULL where it was left out.  Terminated by a NUL not counted. */
struct bytes {
	const char *at;
	size_t len;
};

/* A list of strings without NULs in them; `at` is NULL where it was left out, else ends NULL. */
struct strs {
	const char **at;
	size_t n;
};

/* Names and values: environment.  A NULL value is nil. */
struct var {
	const char *name, *value;
};
struct vars {
	struct var *at;
	size_t n;
};

/* One row of a map whose values are pairs of numbers: rlimits. */
struct pair {
	const char *name;
	uint64_t first, second;
};
struct pairs {
	struct pair *at;
	size_t n;
};

/* A list of maps, each a struct of the method's own; `at` is NULL where it was left out. */
struct items {
	void *at;
	size_t n;
};

enum arg_type {
	ARG_BOOL,
	ARG_INT,
	ARG_UINT,
	ARG_STR,
	ARG_BYTES,
	ARG_STRS,
	ARG_VARS,
	ARG_PAIRS,
	ARG_CHOICE, /* one of a set of strings; the field is its index */
	ARG_PART,   /* another table, for a struct inside the struct: its rows stand here */
	ARG_INNER,  /* a map with a table of its own, for a struct inside the struct */
	ARG_ITEMS,  /* an array of such maps */
};

struct arg {
	const char *name;
	enum arg_type type;
	size_t offset;
	bool required;
	int64_t dflt;               /* of numbers, booleans and choices */
	const char *dflt_str;       /* of strings */
	int64_t min, max;           /* of numbers; max 0 = 2^53 */
	const char *const *choices; /* ends NULL */
	const struct arg *part;
	bool or_number;   /* of strings: a whole number does as well, and becomes its digits */
	size_t given;     /* of an inner map: where to note that it was there */
	size_t item_size; /* of a list: the struct of each map */
	/* A further check of a string: NULL, or what it must be ("an absolute path"). */
	const char *(*check)(const char *value);
};

#define ARG_TYPE(x)                                                                                \
	_Generic((x), bool                                                                         \
		 : ARG_BOOL, int64_t                                                               \
		 : ARG_INT, uint64_t                                                               \
		 : ARG_UINT, const char *                                                          \
		 : ARG_STR, struct bytes                                                           \
		 : ARG_BYTES, struct strs                                                          \
		 : ARG_STRS, struct vars                                                           \
		 : ARG_VARS, struct pairs                                                          \
		 : ARG_PAIRS, unsigned                                                             \
		 : ARG_CHOICE)

#define ARG(S, field, ...)                                                                         \
	{                                                                                          \
		.name = #field, .type = ARG_TYPE(((S *)0)->field), .offset = offsetof(S, field),   \
		__VA_ARGS__                                                                        \
	}
/* For a name that cannot be a field's: stdin is a macro. */
#define ARG_NAMED(S, field, text, ...)                                                             \
	{                                                                                          \
		.name = (text), .type = ARG_TYPE(((S *)0)->field), .offset = offsetof(S, field),   \
		__VA_ARGS__                                                                        \
	}
#define ARG_INCLUDE(S, field, table)                                                               \
	{                                                                                          \
		.name = #field, .type = ARG_PART, .offset = offsetof(S, field), .part = (table)    \
	}
/* A map of its own: `pty: {rows, cols}`.  The struct notes in its `bool given` that it was there. */
#define ARG_MAP(S, field, table)                                                                   \
	{                                                                                          \
		.name = #field, .type = ARG_INNER, .offset = offsetof(S, field), .part = (table),  \
		.given = offsetof(S, field) + offsetof(typeof(((S *)0)->field), given)             \
	}
/* A list of maps, `files: [{path, data}]`, each a struct ITEM with that table. */
#define ARG_LIST(S, field, item, table, ...)                                                       \
	{                                                                                          \
		.name = #field,                                                                    \
		.type = _Generic(((S *)0)->field, struct items                                     \
				 : ARG_ITEMS),                                                     \
		.offset = offsetof(S, field), .part = (table), .item_size = sizeof(item),          \
		__VA_ARGS__                                                                        \
	}
#define ARG_END                                                                                    \
	{                                                                                          \
		.name = NULL                                                                       \
	}

/* For .check: paths of the wire are absolute. */
const char *arg_abs_path(const char *value);

/* Arena bytes that the parameters in PARAMS can need besides the struct of TABLE itself. */
size_t args_size(const struct arg *table, const struct span *params);

/*
 * Decodes PARAMS (a map, nil, or an array of exactly one map) into ARGS, whose strings are
 * allocated from ARENA.  0, ERR_BAD_PARAMS, ERR_LIMIT or -ENOMEM; then WHY (of WHY_LEN bytes) holds a
 * sentence naming the parameter.
 */
int args_decode(const struct arg *table, const struct span *params, void *args, struct arena *arena,
	char *why, size_t why_len);

/* Calls FN for each row, those of included tables among them, those of maps inside not. */
void args_each(const struct arg *table, void (*fn)(const struct arg *row, void *ctx), void *ctx);

/* How system.methods calls the type of a row.  Static, or in TEXT. */
#define ARG_TYPE_NAME_MAX 200
const char *arg_type_name(const struct arg *row, char text[ARG_TYPE_NAME_MAX]);

#endif
