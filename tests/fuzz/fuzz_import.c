/*
 * tests/fuzz/fuzz_import.c - tar/decode, tar/reader, tar/below: what is in an archive does not depend on
 * how it comes in pieces, and no name that is taken leads out
 *
 * The first byte says how large the pieces are, the rest is the archive.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "proto/limits.h"
#include "tar/below.h"
#include "tar/decode.h"
#include "tar/reader.h"
#include "tests/fuzz/fuzz.h"

/* Of what comes out; enough to find a bomb's way in, and to come back. */
#define UNPACKED_MAX (4u << 20)

/* What was told of the archive. */
struct told {
	uint64_t sum, entries, bytes;
	int err;
};

static void add(struct told *t, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;

	while (len--)
		t->sum = (t->sum ^ *p++) * 0x100000001b3u;
}

static void add_number(struct told *t, uint64_t n)
{
	add(t, &n, sizeof(n));
}

static void check_clean(const char *name)
{
	char *out = malloc(TAR_NAME_MAX + 1);

	ASSERT(out);
	ASSERT(strlen(name) <= TAR_NAME_MAX);
	for (size_t strip = 0; strip < 3; strip++) {
		enum below_clean clean = below_clean(name, strip, out);

		ASSERT((clean == BELOW_ABSOLUTE) == (*name == '/'));
		if (clean != BELOW_CLEAN)
			continue;
		ASSERT(*out != '/');
		for (const char *p = out; *p; p += strcspn(p, "/"), p += *p == '/') {
			size_t len = strcspn(p, "/");

			ASSERT(len && !(len == 1 && p[0] == '.'));
			ASSERT(!(len == 2 && p[0] == '.' && p[1] == '.'));
		}
	}
	free(out);
}

static void on_entry(struct told *t, struct tar_reader *r)
{
	const struct tar_entry *e = &r->entry;
	struct tar_attr attr;

	t->entries++;
	ASSERT(t->entries == r->entries);
	add(t, e->path, strlen(e->path));
	add_number(t, e->type);
	add_number(t, e->size);
	add_number(t, e->mode);
	add_number(t, e->uid);
	add_number(t, (uint64_t)e->mtime.tv_sec);
	ASSERT(e->mtime.tv_nsec >= 0 && e->mtime.tv_nsec < 1000000000);
	ASSERT(e->size <= TAR_SIZE_MAX && e->mode <= 07777);
	check_clean(e->path);
	if (e->type == TAR_SYMLINK || e->type == TAR_HARDLINK) {
		add(t, e->target, strlen(e->target));
		(void)below_is_inside(e->target, "a/b", "/root");
		check_clean(e->target);
	}
	while (tar_attr(r, &attr)) {
		add(t, attr.value, attr.len);
		if (attr.name)
			add(t, attr.name, strlen(attr.name));
	}
}

static void on_data(struct told *t, const struct tar_reader *r)
{
	ASSERT(r->data_len && r->data_at + r->data_len <= r->entry.size);
	/* Where a piece begins depends on how it comes: each byte counts with its place. */
	for (size_t i = 0; i < r->data_len; i++) {
		add_number(t, r->data_at + i);
		add(t, r->data + i, 1);
	}
	t->bytes += r->data_len;
}

static int read_some(struct told *t, struct tar_reader *r, const char *bytes, size_t len)
{
	static struct failure f;
	size_t used = 0;
	int err;

	do {
		err = tar_read(r, bytes + used, len - used, &used, &f);
		ASSERT(used <= len);
		ASSERT(!err || err == f.err);
		if (!err && r->got == TAR_ENTRY)
			on_entry(t, r);
		if (!err && r->got == TAR_DATA)
			on_data(t, r);
	} while (!err && (used < len || (r->got != TAR_NEED && r->got != TAR_OVER)));
	return err;
}

static struct told import(const uint8_t *bytes, size_t len, size_t piece)
{
	static struct failure f;
	struct told t = {.sum = 0xcbf29ce484222325u};
	struct tar_reader r;
	struct decode d;
	size_t unpacked = 0, at = 0;

	tar_reader_init(&r);
	decode_begin(&d, DECODE_AUTO);
	do {
		size_t n = MIN(piece, len - at), used = 0;
		/* A block of just that size, so that a sanitizer sees a read behind it. */
		char *input = malloc(n + !n);

		ASSERT(input);
		if (n)
			memcpy(input, bytes + at, n);
		do {
			t.err = decode(&d, input + used, n - used, at + n == len, &used, &f);
			if (!t.err) {
				unpacked += d.out_len;
				t.err = read_some(&t, &r, d.out, d.out_len);
			}
		} while (!t.err && d.out_len && unpacked < UNPACKED_MAX);
		ASSERT(t.err || unpacked >= UNPACKED_MAX || used == n);
		free(input);
		at += n;
	} while (!t.err && at < len && unpacked < UNPACKED_MAX);
	if (unpacked >= UNPACKED_MAX)
		t = (struct told){0}; /* where it was stopped depends on the pieces */
	else if (!t.err)
		t.err = decode_end(&d, &f);
	if (!t.err && unpacked < UNPACKED_MAX)
		t.err = tar_reader_end(&r, &f);
	decode_fini(&d);
	tar_reader_fini(&r);
	return t;
}

static void both_ways(const uint8_t *bytes, size_t len, size_t piece)
{
	struct told whole = import(bytes, len, len + 1), parts = import(bytes, len, piece);

	ASSERT(whole.err == parts.err);
	/* What comes before an error may differ by what a decoder held back. */
	if (!whole.err)
		ASSERT(whole.sum == parts.sum && whole.entries == parts.entries);
}

/* Nobody guesses a checksum: each block gets the right one, as if it were a header. */
static void mend(uint8_t *bytes, size_t len)
{
	for (uint8_t *block = bytes; len >= TAR_BLOCK_SIZE; len -= TAR_BLOCK_SIZE) {
		unsigned sum = 0;
		char text[8];

		memset(block + 148, ' ', 8);
		for (size_t i = 0; i < TAR_BLOCK_SIZE; i++)
			sum += block[i];
		snprintf(text, sizeof(text), "%06o", sum);
		memcpy(block + 148, text, 7);
		block += TAR_BLOCK_SIZE;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	uint8_t *mended;

	if (!len)
		return 0;
	both_ways(bytes + 1, len - 1, (size_t)bytes[0] * 7 + 1);
	mended = malloc(len);
	ASSERT(mended);
	memcpy(mended, bytes + 1, len - 1);
	mend(mended, len - 1);
	both_ways(mended, len - 1, (size_t)bytes[0] * 7 + 1);
	free(mended);
	return 0;
}
