/*
 * tests/unit/args_all.h - a table with a row of each type, and what a decode leaves behind
 */
#ifndef TESTS_UNIT_ARGS_ALL_H
#define TESTS_UNIT_ARGS_ALL_H

#include <stdlib.h>

#include "proto/args.h"
#include "proto/enc.h"
#include "proto/err.h"
#include "proto/frame.h"
#include "proto/limits.h"
#include "tests/unit/unit.h"

struct inner {
	const char *cwd;
	int64_t nice;
};

struct size {
	bool given;
	uint64_t rows, cols;
	const char *term;
};

struct file {
	const char *path;
	struct bytes data;
	uint64_t mode;
	struct strs tags;
	bool sync;
};

struct all {
	bool flag;
	int64_t n;
	uint64_t size;
	const char *path;
	struct bytes data;
	struct strs argv;
	struct vars env;
	struct pairs rlimits;
	unsigned color;
	struct inner inner;
	uint64_t port;
	int64_t level;
	const char *signal;
	struct size pty;
	struct items files;
};

static const char *const colors[] = {"red", "green", "blue", NULL};

static const struct arg inner_table[] = {
	ARG(struct inner, cwd, .check = arg_abs_path, .dflt_str = "/"),
	ARG(struct inner, nice, .min = -20, .max = 19),
	ARG_END,
};

static const struct arg size_table[] = {
	ARG(struct size, rows, .dflt = 24, .min = 1, .max = 1000),
	ARG(struct size, cols, .dflt = 80, .min = 1, .max = 1000),
	ARG(struct size, term, .dflt_str = "xterm"),
	ARG_END,
};

static const struct arg file_table[] = {
	ARG(struct file, path, .required = true, .check = arg_abs_path),
	ARG(struct file, data),
	ARG(struct file, mode, .max = 07777, .dflt = 0644),
	ARG(struct file, tags),
	ARG(struct file, sync, .dflt = true),
	ARG_END,
};

static const struct arg all_table[] = {
	ARG(struct all, flag, .dflt = true),
	ARG(struct all, n, .dflt = -7),
	ARG(struct all, size, .dflt = 7),
	ARG(struct all, path, .check = arg_abs_path),
	ARG(struct all, data),
	ARG(struct all, argv),
	ARG(struct all, env),
	ARG(struct all, rlimits),
	ARG(struct all, color, .choices = colors, .dflt = 1),
	ARG_INCLUDE(struct all, inner, inner_table),
	ARG(struct all, port, .min = 1, .max = 65535, .dflt = 80),
	ARG(struct all, level, .min = -3, .max = 3),
	ARG(struct all, signal, .or_number = true, .dflt_str = "TERM"),
	ARG_MAP(struct all, pty, size_table),
	ARG_LIST(struct all, files, struct file, file_table),
	ARG_END,
};

/* What a decode left behind; released by drop(). */
struct result {
	int err;
	struct all args;
	struct arena *arena;
	char why[200];
	char *bytes;
};

static inline struct span span_of(const char *bytes, size_t len)
{
	struct scan s;
	struct span span;
	char head = (char)0x91, *message = malloc(len + 1);

	assert_non_null(message);
	message[0] = head;
	memcpy(message + 1, bytes, len);
	assert_int_equal(scan_message(message, len + 1, &s), 0);
	span = (struct span){.bytes = bytes, .len = len, .elements = s.part[0].elements};
	free(message);
	return span;
}

/* Decodes a copy that is gone before anybody looks at the result: nothing may point into it. */
static inline void decode(struct result *r, const struct arg *table, const char *bytes, size_t len)
{
	char *copy = malloc(len);
	struct span span;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	span = span_of(copy, len);
	*r = (struct result){.arena = arena_new(args_size(table, &span))};
	assert_non_null(r->arena);
	r->err = args_decode(table, &span, &r->args, r->arena, r->why, sizeof(r->why));
	free(copy);
	if (r->err)
		assert_string_not_equal(r->why, "");
	else
		assert_string_equal(r->why, "");
}

static inline void drop(struct result *r)
{
	arena_free(r->arena);
}

static inline void expect_bad(
	const struct arg *table, const char *bytes, size_t len, const char *named_in_why)
{
	struct result r;

	decode(&r, table, bytes, len);
	if (r.err != ERR_BAD_PARAMS || !strstr(r.why, named_in_why))
		fail_msg("%d \"%s\", not about \"%s\"", r.err, r.why, named_in_why);
	drop(&r);
}

static inline void expect_ok(const struct arg *table, const char *bytes, size_t len)
{
	struct result r;

	decode(&r, table, bytes, len);
	if (r.err)
		fail_msg("%s", r.why);
	drop(&r);
}

/* One of each type, built with our own encoder; WRAP puts the map into an array of one. */
static inline size_t encode_all(struct buf *b, bool wrap)
{
	struct enc e;
	size_t map, inner;

	enc_frame_begin(&e, b);
	if (wrap)
		enc_array(&e, 1);
	map = enc_map_begin(&e);
	enc_kv_bool(&e, "flag", false);
	enc_kv_int(&e, "n", -123456789012);
	enc_kv_uint(&e, "size", 1ULL << 53);
	enc_kv_str(&e, "path", "/a/b");
	enc_kv_bin(&e, "data", "a\0b", 3);
	enc_str(&e, "argv");
	enc_array(&e, 3);
	enc_str(&e, "echo");
	enc_str(&e, "");
	enc_bin(&e, "\xff", 1);
	enc_str(&e, "env");
	inner = enc_map_begin(&e);
	enc_kv_str(&e, "HOME", "/root");
	enc_kv_nil(&e, "TERM");
	enc_map_end(&e, inner, 2);
	enc_str(&e, "rlimits");
	inner = enc_map_begin(&e);
	enc_str(&e, "nofile");
	enc_array(&e, 2);
	enc_uint(&e, 1024);
	enc_uint(&e, UINT64_MAX);
	enc_map_end(&e, inner, 1);
	enc_kv_str(&e, "color", "blue");
	enc_kv_str(&e, "cwd", "/tmp");
	enc_kv_int(&e, "nice", -20);
	enc_kv_uint(&e, "signal", 9);
	enc_str(&e, "pty");
	inner = enc_map_begin(&e);
	enc_kv_uint(&e, "cols", 132);
	enc_kv_str(&e, "term", "vt100");
	enc_map_end(&e, inner, 2);
	enc_str(&e, "files");
	enc_array(&e, 2);
	inner = enc_map_begin(&e);
	enc_kv_str(&e, "path", "/one");
	enc_kv_bin(&e, "data", "\0\n", 2);
	enc_kv_uint(&e, "mode", 0600);
	enc_map_end(&e, inner, 3);
	inner = enc_map_begin(&e);
	enc_str(&e, "tags");
	enc_array(&e, 1);
	enc_str(&e, "last");
	enc_kv_str(&e, "path", "/two");
	enc_map_end(&e, inner, 2);
	enc_map_end(&e, map, 14);
	assert_int_equal(enc_frame_end(&e, MAX_FRAME), 0);
	return buf_len(b) - FRAME_HEADER;
}

static inline void assert_all(const struct all *a)
{
	const struct file *file = a->files.at;

	assert_false(a->flag);
	assert_int_equal(a->n, -123456789012);
	assert_int_equal(a->size, 1ULL << 53);
	assert_string_equal(a->path, "/a/b");
	assert_int_equal(a->data.len, 3);
	assert_memory_equal(a->data.at, "a\0b", 4);
	assert_int_equal(a->argv.n, 3);
	assert_string_equal(a->argv.at[0], "echo");
	assert_string_equal(a->argv.at[1], "");
	assert_string_equal(a->argv.at[2], "\xff");
	assert_null(a->argv.at[3]);
	assert_int_equal(a->env.n, 2);
	assert_string_equal(a->env.at[0].name, "HOME");
	assert_string_equal(a->env.at[0].value, "/root");
	assert_string_equal(a->env.at[1].name, "TERM");
	assert_null(a->env.at[1].value);
	assert_int_equal(a->rlimits.n, 1);
	assert_string_equal(a->rlimits.at[0].name, "nofile");
	assert_int_equal(a->rlimits.at[0].first, 1024);
	assert_int_equal(a->rlimits.at[0].second, UINT64_MAX);
	assert_int_equal(a->color, 2);
	assert_string_equal(a->inner.cwd, "/tmp");
	assert_int_equal(a->inner.nice, -20);
	assert_int_equal(a->port, 80); /* left out */
	assert_string_equal(a->signal, "9");
	assert_true(a->pty.given);
	assert_int_equal(a->pty.rows, 24);
	assert_int_equal(a->pty.cols, 132);
	assert_string_equal(a->pty.term, "vt100");
	assert_int_equal(a->files.n, 2);
	assert_string_equal(file[0].path, "/one");
	assert_int_equal(file[0].data.len, 2);
	assert_memory_equal(file[0].data.at, "\0\n", 3);
	assert_int_equal(file[0].mode, 0600);
	assert_null(file[0].tags.at);
	assert_true(file[0].sync);
	assert_string_equal(file[1].path, "/two");
	assert_null(file[1].data.at);
	assert_int_equal(file[1].mode, 0644);
	assert_int_equal(file[1].tags.n, 1);
	assert_string_equal(file[1].tags.at[0], "last");
	assert_null(file[1].tags.at[1]);
	assert_true(file[1].sync);
}

#endif
