/*
 * tests/fuzz/fuzz_scan.c - what passes the scan is safe to decode, and decodes
 *
 * The input is a message.  Each of its parts goes to msgpack-c, and, as parameters, through a
 * table with every type there is.
 */
#include "proto/scan.h"

#include <stdlib.h>

#include "proto/args.h"
#include "proto/err.h"
#include "proto/limits.h"
#include "proto/val.h"
#include "tests/fuzz/fuzz.h"

struct part {
	const char *cwd;
};

/* Names of one letter: the fuzzer finds them soon. */
struct all {
	bool a;
	int64_t b;
	uint64_t c;
	const char *d;
	struct bytes e;
	struct strs f;
	struct vars g;
	struct pairs h;
	unsigned i;
	struct part part;
	uint64_t k;
};

static const char *const choices[] = {"x", "yy", NULL};

static const struct arg part_table[] = {
	ARG(struct part, cwd, .check = arg_abs_path),
	ARG_END,
};

static const struct arg table[] = {
	ARG(struct all, a),
	ARG(struct all, b),
	ARG(struct all, c, .dflt = 7),
	ARG(struct all, d, .required = true),
	ARG(struct all, e),
	ARG(struct all, f),
	ARG(struct all, g),
	ARG(struct all, h),
	ARG(struct all, i, .choices = choices),
	ARG_INCLUDE(struct all, part, part_table),
	ARG(struct all, k, .min = 2, .max = 9),
	ARG_END,
};

static size_t count_values(const struct val *v)
{
	const char *bytes;
	size_t n = 1, len;

	if (val_bytes(v, &bytes, &len)) {
		/* Every byte is there to be read. */
		for (volatile const char *p = bytes; len--; p++)
			(void)*p;
	}
	for (size_t i = 0; i < val_count(v); i++) {
		if (val_type(v) == VAL_ARRAY)
			n += count_values(val_at(v, i));
		else
			n += count_values(val_key(v, i)) + count_values(val_value(v, i));
	}
	return n;
}

/* Every string of ARGS lies in the arena and ends there. */
static void check_str(const struct arena *arena, const char *s)
{
	if (!s)
		return;
	ASSERT(s >= arena->data && s < arena->data + arena->used);
	while (*s)
		s++;
	ASSERT(s < arena->data + arena->used);
}

static void check_args(const struct arena *arena, const struct all *args)
{
	ASSERT(args->d);
	check_str(arena, args->d);
	check_str(arena, args->e.at);
	check_str(arena, args->part.cwd);
	for (size_t i = 0; i < args->f.n; i++)
		check_str(arena, args->f.at[i]);
	ASSERT(!args->f.at || !args->f.at[args->f.n]);
	for (size_t i = 0; i < args->g.n; i++) {
		check_str(arena, args->g.at[i].name);
		check_str(arena, args->g.at[i].value);
	}
	for (size_t i = 0; i < args->h.n; i++)
		check_str(arena, args->h.at[i].name);
	ASSERT(args->i < 2);
	ASSERT(args->k == 0 || (args->k >= 2 && args->k <= 9));
	ASSERT(args->c <= UINT64_C(1) << 53);
}

static void decode(const struct span *params)
{
	struct arena *arena = arena_new(args_size(table, params));
	struct all args = {0};
	char why[64] = "";
	int err;

	ASSERT(arena);
	err = args_decode(table, params, &args, arena, why, sizeof(why));
	if (!err)
		check_args(arena, &args);
	else if (params->elements > MAX_ELEMENTS)
		ASSERT(err == ERR_LIMIT && why[0]);
	else
		ASSERT(err == ERR_BAD_PARAMS && why[0]);
	arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *end = (const char *)bytes + len;
	struct scan s;

	if (scan_message((const char *)bytes, len, &s)) {
		ASSERT(s.why);
		return 0;
	}
	for (size_t i = 0; i < s.n_parts && i < MESSAGE_MAX_PARTS; i++) {
		const struct span *part = &s.part[i];
		struct doc *doc = doc_parse(part->bytes, part->len);
		const char *at;
		uint64_t n, same;
		size_t at_len, same_len;

		ASSERT(doc);
		ASSERT(count_values(doc_root(doc)) == part->elements);
		if (span_uint(part, &n))
			ASSERT(val_uint(doc_root(doc), &same) && same == n);
		if (span_bytes(part, &at, &at_len)) {
			const char *same_at;

			ASSERT(val_bytes(doc_root(doc), &same_at, &same_len));
			ASSERT(same_len == at_len && (at_len == 0 || same_at == at));
		}
		doc_free(doc);
		decode(part);
		if (i)
			ASSERT(part->bytes == part[-1].bytes + part[-1].len);
		if (i + 1 == s.n_parts)
			ASSERT(part->bytes + part->len == end);
	}
	return 0;
}
