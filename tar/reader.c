/*
 * tar/reader.c - reads an archive as it comes
 *
 * pax(1) of POSIX.1-2017 has the format of headers; the "Basic Tar Format" chapters of the manual of
 * GNU tar those of its own: long names, numbers in base 256, sparse files in four ways.
 */
#include "tar/reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

/* A block of 512 bytes.  The GNU format has other things where ustar has the prefix. */
struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, target[100];
	char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], rest[12];
};
BUILD_ASSERT(sizeof(struct header) == TAR_BLOCK_SIZE);

/* The map of a sparse file in the old GNU format: in the header, and in blocks behind it. */
#define OLD_MAP        386
#define OLD_MAP_PIECES 4u
#define OLD_EXTENDED   482
#define OLD_REAL_SIZE  483
#define MORE_PIECES    21u
#define MORE_EXTENDED  504
#define OLD_NUMBER     12u

/* Where the formats differ: behind the name. */
#define STAR_MAGIC      508
#define STAR_PREFIX_LEN 131u

int tar_broken(const struct tar_reader *r, struct failure *f, int err, const char *fmt, ...)
{
	char what[160];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (r->begun)
		return failure_set(f, err, "read", r->entry.path, "entry %llu, %.60s: %s",
			(unsigned long long)r->entries, r->last, what);
	return failure_set(
		f, err, "read", NULL, "entry %llu: %s", (unsigned long long)r->entries + 1, what);
}

void tar_reader_init(struct tar_reader *r)
{
	*r = (struct tar_reader){.at = TAR_HEADER};
}

static void bytes_free(struct tar_bytes *b)
{
	free(b->at);
	*b = (struct tar_bytes){0};
}

void tar_reader_fini(struct tar_reader *r)
{
	bytes_free(&r->global);
	bytes_free(&r->local);
	bytes_free(&r->long_path);
	bytes_free(&r->long_target);
	free(r->piece);
	r->piece = NULL;
}

/* -- numbers ----------------------------------------------------------------------------------- */

/* Two's complement, of which the first bit says that it is one. */
static bool base256(const unsigned char *p, size_t len, int64_t *out)
{
	bool negative = p[0] & 0x40;
	uint64_t v = negative ? UINT64_MAX : 0;

	for (size_t i = 0; i < len; i++) {
		unsigned byte = i ? p[i] : (p[0] & 0x7fu) | (negative ? 0x80u : 0);

		if (v >> 55 != (negative ? 0x1ffu : 0))
			return false;
		v = v << 8 | byte;
	}
	*out = (int64_t)v;
	return true;
}

/* Octal digits between spaces, the last of which may be a NUL.  Nothing at all is 0. */
static bool number(const char *field, size_t len, int64_t *out)
{
	size_t i = 0;
	int64_t v = 0;

	if ((unsigned char)field[0] & 0x80)
		return base256((const unsigned char *)field, len, out);
	while (i < len && field[i] == ' ')
		i++;
	for (; i < len && field[i] >= '0' && field[i] <= '7'; i++)
		v = v << 3 | (field[i] - '0'); /* 12 digits at most */
	*out = v;
	return i == len || field[i] == ' ' || field[i] == '\0';
}

static bool count(const char *field, size_t len, uint64_t *out)
{
	int64_t v;

	if (!number(field, len, &v) || v < 0)
		return false;
	*out = (uint64_t)v;
	return true;
}

/* -- sparse files ------------------------------------------------------------------------------ */

int tar_add_piece(struct tar_reader *r, uint64_t at, uint64_t len, struct failure *f)
{
	uint64_t end =
		r->n_pieces ? r->piece[r->n_pieces - 1].at + r->piece[r->n_pieces - 1].len : 0;

	if (at < end || at > TAR_SIZE_MAX || len > TAR_SIZE_MAX - at)
		return tar_broken(r, f, ERR_BAD_PARAMS, "the map of its holes has no order");
	if (r->n_pieces == r->pieces_size) {
		size_t size = MAX(2 * r->pieces_size, 64);
		struct tar_piece *grown;

		if (size > IMPORT_PIECES_MAX)
			return tar_broken(r, f, ERR_LIMIT,
				"it has more than %u pieces between holes (tar_pieces)",
				IMPORT_PIECES_MAX);
		grown = realloc(r->piece, size * sizeof(*grown));
		if (!grown)
			return tar_broken(r, f, -ENOMEM, "out of memory");
		r->piece = grown;
		r->pieces_size = size;
	}
	r->piece[r->n_pieces++] = (struct tar_piece){at, len};
	return 0;
}

/* N pieces at FIELD; an empty one is the end. */
static int old_map(struct tar_reader *r, const char *field, unsigned n, struct failure *f)
{
	for (unsigned i = 0; i < n; i++, field += (size_t)2 * OLD_NUMBER) {
		uint64_t at, len;
		int err;

		if (!field[0] && !field[OLD_NUMBER])
			return 0;
		if (!count(field, OLD_NUMBER, &at) || !count(field + OLD_NUMBER, OLD_NUMBER, &len))
			return tar_broken(
				r, f, ERR_BAD_PARAMS, "the map of its holes is no number");
		err = tar_add_piece(r, at, len, f);
		if (err)
			return err;
	}
	return 0;
}

/* The pieces and what the archive holds are the same amount, within the file. */
static int check_map(struct tar_reader *r, struct failure *f)
{
	uint64_t sum = 0, end = 0;

	for (size_t i = 0; i < r->n_pieces; i++) {
		sum += r->piece[i].len; /* their ends rise to TAR_SIZE_MAX at most */
		end = r->piece[i].at + r->piece[i].len;
	}
	if (sum != r->left || end > r->entry.size)
		return tar_broken(
			r, f, ERR_BAD_PARAMS, "the map of its holes and its size do not agree");
	return 0;
}

/* -- an entry ---------------------------------------------------------------------------------- */

static unsigned padding(uint64_t size)
{
	return (unsigned)(-size % TAR_BLOCK_SIZE);
}

/* Names are not worth it; attributes of a megabyte are. */
static void shrink(struct tar_bytes *b)
{
	if (b->size > (64u << 10))
		bytes_free(b);
}

/* What the headers of one entry said is not for the next. */
static void forget(struct tar_reader *r)
{
	r->local.len = r->long_path.len = r->long_target.len = 0;
	r->sparse_given = r->has_real_size = r->has_half_piece = false;
	r->sparse_major = 0;
	r->sparse_name = NULL;
	r->n_pieces = r->at_piece = 0;
	r->in_piece = 0;
	r->attr_at = 0;
	r->begun = r->done = false;
	r->map_counted = false;
	r->map_count = r->map_number = r->map_digits = 0;
	shrink(&r->local);
}

static int tell(struct tar_reader *r, enum tar_got got)
{
	r->got = got;
	return 0;
}

/* For messages; cut. */
static void note_name(struct tar_reader *r)
{
	size_t len = strnlen(r->entry.path, sizeof(r->last) - 1);

	memcpy(r->last, r->entry.path, len);
	r->last[len] = '\0';
}

/* All headers of the entry are there, and the map of its holes. */
static int tell_entry(struct tar_reader *r, struct failure *f)
{
	int err = 0;

	if (!r->entry.sparse) {
		r->n_pieces = 0;
		err = tar_add_piece(r, 0, r->left, f);
	} else {
		err = check_map(r, f);
	}
	if (err)
		return err;
	r->at = TAR_FILLED;
	r->at_piece = 0;
	r->in_piece = 0;
	return tell(r, TAR_ENTRY);
}

/* The old GNU format: the map begins in the header. */
static int begin_old_map(struct tar_reader *r, struct failure *f)
{
	struct tar_entry *e = &r->entry;
	int err;

	e->sparse = true;
	if (!count(r->block + OLD_REAL_SIZE, OLD_NUMBER, &e->size) || e->size > TAR_SIZE_MAX)
		return tar_broken(r, f, ERR_BAD_PARAMS, "its size is no number");
	err = old_map(r, r->block + OLD_MAP, OLD_MAP_PIECES, f);
	if (err)
		return err;
	r->at = TAR_MORE_MAP;
	return r->block[OLD_EXTENDED] ? tell(r, TAR_NEED) : tell_entry(r, f);
}

/* The extended headers are there by now, and the ustar header was read. */
static int complete(struct tar_reader *r, char type, struct failure *f)
{
	struct tar_entry *e = &r->entry;
	size_t len;

	if (r->sparse_name)
		e->path = r->sparse_name;
	len = strlen(e->path);
	/* Before there was a type for directories, they were files with a slash. */
	if (e->type == TAR_FILE && len && e->path[len - 1] == '/')
		e->type = TAR_DIR;
	while (len > 1 && e->path[len - 1] == '/')
		e->path[--len] = '\0';
	note_name(r);
	r->pad = padding(r->left);
	if (e->type != TAR_FILE) {
		e->size = 0;
		/* Only a hard link in pax has the contents once more; GNU's old dumps have lists. */
		if (!(e->type == TAR_HARDLINK && r->local.len) && type != 'D')
			r->left = r->pad = 0;
		e->sparse = false;
		r->at = TAR_FILLED;
		r->n_pieces = 0;
		return tell(r, TAR_ENTRY);
	}
	if (type == 'S')
		return begin_old_map(r, f);
	e->size = r->left;
	if (!r->sparse_given)
		return tell_entry(r, f);
	if (!r->has_real_size || r->sparse_major > 1 || r->has_half_piece)
		return tar_broken(r, f, ERR_BAD_PARAMS, "the map of its holes is incomplete");
	e->sparse = true;
	e->size = r->real_size;
	if (r->sparse_major == 0)
		return tell_entry(r, f);
	r->n_pieces = 0;
	r->at = TAR_MAP;
	return tell(r, TAR_NEED);
}

static bool sum_is_right(const char *block)
{
	const struct header *h = (const void *)block;
	int64_t unsigned_sum = 0, signed_sum = 0, told;

	for (size_t i = 0; i < TAR_BLOCK_SIZE; i++) {
		bool blank = i >= offsetof(struct header, sum) && i < offsetof(struct header, type);
		unsigned char c = blank ? (unsigned char)' ' : (unsigned char)block[i];

		unsigned_sum += c;
		signed_sum += (signed char)c;
	}
	/* Some took bytes for signed. */
	return number(h->sum, sizeof(h->sum), &told) &&
	       (told == unsigned_sum || told == signed_sum);
}

/* Joins NAME and the prefix, where the format has one. */
static void take_name(struct tar_reader *r, const struct header *h)
{
	size_t prefix = 0;

	if (memcmp(h->magic, "ustar\0", 6) == 0) {
		bool star = memcmp(r->block + STAR_MAGIC, "tar\0", 4) == 0;

		prefix = strnlen(h->prefix, star ? STAR_PREFIX_LEN : sizeof(h->prefix));
	}
	snprintf(r->name, sizeof(r->name), "%.*s%s%.*s", (int)prefix, h->prefix, prefix ? "/" : "",
		(int)strnlen(h->name, sizeof(h->name)), h->name);
	snprintf(r->target, sizeof(r->target), "%.*s", (int)strnlen(h->target, sizeof(h->target)),
		h->target);
	r->entry.path = r->long_path.len ? r->long_path.at : r->name;
	r->entry.target = r->long_target.len ? r->long_target.at : r->target;
}

static int take_type(struct tar_reader *r, char type, struct failure *f)
{
	static const struct {
		char type;
		enum tar_type is;
	} types[] = {{'0', TAR_FILE}, {'\0', TAR_FILE}, {'7', TAR_FILE}, {'S', TAR_FILE},
		{'1', TAR_HARDLINK}, {'2', TAR_SYMLINK}, {'3', TAR_CHAR}, {'4', TAR_BLOCK},
		{'5', TAR_DIR}, {'D', TAR_DIR}, {'6', TAR_FIFO}};

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (types[i].type == type) {
			r->entry.type = types[i].is;
			return 0;
		}
	}
	return tar_broken(
		r, f, ERR_UNSUPPORTED, "entries of type 0x%02x are not taken", (unsigned char)type);
}

static int take_numbers(struct tar_reader *r, const struct header *h, struct failure *f)
{
	struct tar_entry *e = &r->entry;
	uint64_t mode, major = 0, minor = 0;
	int64_t mtime;

	if (!count(h->mode, sizeof(h->mode), &mode) || !count(h->uid, sizeof(h->uid), &e->uid) ||
		!count(h->gid, sizeof(h->gid), &e->gid) ||
		!number(h->mtime, sizeof(h->mtime), &mtime))
		return tar_broken(
			r, f, ERR_BAD_PARAMS, "its header has something else for a number");
	if (e->type == TAR_CHAR || e->type == TAR_BLOCK) {
		if (!count(h->major, sizeof(h->major), &major) || major > UINT32_MAX ||
			!count(h->minor, sizeof(h->minor), &minor) || minor > UINT32_MAX)
			return tar_broken(r, f, ERR_BAD_PARAMS, "its device has no number");
	}
	e->mode = (mode_t)(mode & 07777);
	e->mtime = (struct timespec){.tv_sec = mtime};
	e->major = (unsigned)major;
	e->minor = (unsigned)minor;
	e->has_atime = e->sparse = false;
	return 0;
}

static int take_entry(struct tar_reader *r, const struct header *h, struct failure *f)
{
	int err;

	r->begun = true;
	r->entries++;
	take_name(r, h);
	note_name(r);
	err = take_type(r, h->type, f);
	if (!err)
		err = take_numbers(r, h, f);
	if (!err)
		err = tar_pax_apply(r, &r->global, f);
	if (!err)
		err = tar_pax_apply(r, &r->local, f);
	return err ? err : complete(r, h->type, f);
}

/* What stands in front of an entry, or belongs to none: LEFT bytes go into B, or nowhere. */
static int take_body(struct tar_reader *r, struct tar_bytes *b, size_t max, struct failure *f)
{
	r->pad = padding(r->left);
	r->body = b;
	r->at = b ? TAR_BODY : TAR_SKIP;
	if (!b)
		return tell(r, TAR_NEED);
	if (r->left > max)
		return tar_broken(r, f, ERR_LIMIT, "a header is longer than %zu bytes (%s)", max,
			b == &r->local    ? "tar_header"
			: b == &r->global ? "tar_global"
					  : "tar_name");
	if (b->size < r->left + 1) {
		char *grown = realloc(b->at, (size_t)r->left + 1);

		if (!grown)
			return tar_broken(r, f, -ENOMEM, "out of memory");
		b->at = grown;
		b->size = (size_t)r->left + 1;
	}
	b->len = 0;
	return tell(r, TAR_NEED);
}

static bool is_zero(const char *block)
{
	return block[0] == '\0' && memcmp(block, block + 1, TAR_BLOCK_SIZE - 1) == 0;
}

static int take_header(struct tar_reader *r, struct failure *f)
{
	const struct header *h = (const void *)r->block;

	if (is_zero(r->block)) {
		r->at = r->ended ? TAR_AFTER : TAR_HEADER;
		r->ended = true;
		return tell(r, r->at == TAR_AFTER ? TAR_OVER : TAR_NEED);
	}
	if (!sum_is_right(r->block))
		return tar_broken(r, f, ERR_BAD_PARAMS, "%s",
			r->entries || r->local.len || r->long_path.len
				? "its header is broken: the checksum is wrong"
				: "this is no tar archive, nor one compressed with gzip or zstd");
	r->ended = false;
	if (!count(h->size, sizeof(h->size), &r->left))
		return tar_broken(r, f, ERR_BAD_PARAMS, "its size is no number");
	if (r->left > TAR_SIZE_MAX)
		return tar_broken(r, f, ERR_LIMIT, "it is larger than %llu bytes (tar_size)",
			(unsigned long long)TAR_SIZE_MAX);
	switch (h->type) {
	case 'x':
	case 'X':
		return take_body(r, &r->local, TAR_HEADER_MAX, f);
	case 'g':
		return take_body(r, &r->global, TAR_GLOBAL_MAX, f);
	case 'L':
		return take_body(r, &r->long_path, TAR_NAME_MAX, f);
	case 'K':
		return take_body(r, &r->long_target, TAR_NAME_MAX, f);
	case 'V': /* a label */
		return take_body(r, NULL, 0, f);
	default:
		return take_entry(r, h, f);
	}
}

/* -- the map of a pax sparse file in front of its data: decimal numbers, each a line ------------- */

static int take_map_number(struct tar_reader *r, struct failure *f)
{
	uint64_t v = r->map_number;

	if (!r->map_digits)
		return tar_broken(r, f, ERR_BAD_PARAMS, "the map of its holes is no number");
	r->map_number = r->map_digits = 0;
	if (!r->map_counted) {
		r->map_counted = true;
		r->map_count = v;
		return 0;
	}
	if (!r->has_half_piece) {
		r->has_half_piece = true;
		r->half_piece = v;
		return 0;
	}
	r->has_half_piece = false;
	r->map_count--;
	return tar_add_piece(r, r->half_piece, v, f);
}

/* A block of it. */
static int take_map(struct tar_reader *r, struct failure *f)
{
	if (r->left < TAR_BLOCK_SIZE)
		return tar_broken(r, f, ERR_BAD_PARAMS, "the map of its holes has no end");
	r->left -= TAR_BLOCK_SIZE;
	for (size_t i = 0; i < TAR_BLOCK_SIZE; i++) {
		char c = r->block[i];
		int err = 0;

		if (c == '\n')
			err = take_map_number(r, f);
		else if (c < '0' || c > '9' || r->map_number > TAR_SIZE_MAX)
			err = tar_broken(r, f, ERR_BAD_PARAMS, "the map of its holes is no number");
		else
			r->map_number = 10 * r->map_number + (uint64_t)(c - '0');
		r->map_digits = c == '\n' ? 0 : r->map_digits + 1;
		if (err)
			return err;
		if (r->map_counted && !r->map_count) {
			r->pad = padding(r->left);
			return tell_entry(r, f);
		}
	}
	return tell(r, TAR_NEED);
}

/* -- bytes ------------------------------------------------------------------------------------- */

static int take_block(struct tar_reader *r, struct failure *f)
{
	int err;

	if (r->at == TAR_HEADER)
		return take_header(r, f);
	if (r->at == TAR_MAP)
		return take_map(r, f);
	err = old_map(r, r->block, MORE_PIECES, f);
	if (err)
		return err;
	return r->block[MORE_EXTENDED] ? tell(r, TAR_NEED) : tell_entry(r, f);
}

/* Fills the block; a whole one is told of. */
static int fill(
	struct tar_reader *r, const char *bytes, size_t len, size_t *used, struct failure *f)
{
	size_t n = MIN(len, TAR_BLOCK_SIZE - r->n_block);

	memcpy(r->block + r->n_block, bytes, n);
	r->n_block += n;
	*used += n;
	if (r->n_block < TAR_BLOCK_SIZE)
		return tell(r, TAR_NEED);
	r->n_block = 0;
	return take_block(r, f);
}

static int body(
	struct tar_reader *r, const char *bytes, size_t len, size_t *used, struct failure *f)
{
	struct tar_bytes *b = r->body;
	size_t n = (size_t)MIN(len, r->left);

	memcpy(b->at + b->len, bytes, n);
	b->len += n;
	r->left -= n;
	*used += n;
	if (r->left)
		return tell(r, TAR_NEED);
	b->at[b->len] = '\0';
	/* The NULs behind a long name are none of it; within it they would end it early. */
	if (b == &r->long_path || b == &r->long_target) {
		size_t real = strlen(b->at);

		for (size_t i = real; i < b->len; i++) {
			if (b->at[i])
				return tar_broken(r, f, ERR_BAD_PARAMS, "its name has a NUL in it");
		}
		b->len = real;
	}
	r->at = TAR_SKIP;
	return tell(r, TAR_NEED);
}

/* Past LEFT and PAD bytes: then comes a header, of the same entry or the next. */
static int skip(struct tar_reader *r, size_t len, size_t *used)
{
	size_t n = (size_t)MIN(len, r->left + r->pad);
	size_t of_left = (size_t)MIN(n, r->left);

	r->left -= of_left;
	r->pad -= (unsigned)(n - of_left);
	*used += n;
	if (r->left || r->pad)
		return tell(r, TAR_NEED);
	r->at = TAR_HEADER;
	if (!r->begun)
		return tell(r, TAR_NEED);
	r->done = true;
	return tell(r, TAR_DONE);
}

static int data(struct tar_reader *r, const char *bytes, size_t len, size_t *used)
{
	const struct tar_piece *p;
	size_t n;

	while (r->at_piece < r->n_pieces && r->in_piece == r->piece[r->at_piece].len) {
		r->at_piece++;
		r->in_piece = 0;
	}
	if (r->at_piece == r->n_pieces) { /* what is LEFT belongs to no file */
		r->at = TAR_SKIP;
		return skip(r, len, used);
	}
	if (!len)
		return tell(r, TAR_NEED);
	p = &r->piece[r->at_piece];
	n = (size_t)MIN(len, p->len - r->in_piece);
	r->data = bytes;
	r->data_len = n;
	r->data_at = p->at + r->in_piece;
	r->in_piece += n;
	r->left -= n;
	*used += n;
	return tell(r, TAR_DATA);
}

int tar_read(struct tar_reader *r, const char *bytes, size_t len, size_t *used, struct failure *f)
{
	r->any = r->any || len;
	switch (r->at) {
	case TAR_HEADER:
		if (r->done && len)
			forget(r);
		return fill(r, bytes, len, used, f);
	case TAR_MAP:
	case TAR_MORE_MAP:
		return fill(r, bytes, len, used, f);
	case TAR_BODY:
		return body(r, bytes, len, used, f);
	case TAR_FILLED:
		return data(r, bytes, len, used);
	case TAR_SKIP:
		return skip(r, len, used);
	case TAR_AFTER:
		break;
	}
	*used += len;
	return tell(r, TAR_OVER);
}

int tar_reader_end(const struct tar_reader *r, struct failure *f)
{
	if (r->at == TAR_AFTER || (r->ended && !r->n_block))
		return 0;
	if (!r->any)
		return failure_set(
			f, ERR_BAD_PARAMS, "read", NULL, "the archive is empty: 0 bytes");
	if (r->begun && !r->done)
		return tar_broken(
			r, f, ERR_BAD_PARAMS, "the archive is cut off in the middle of it");
	if (!r->entries && r->n_block && r->at == TAR_HEADER)
		return tar_broken(r, f, ERR_BAD_PARAMS,
			"this is no tar archive, or cut off in its first header");
	if (r->n_block || r->at != TAR_HEADER || r->local.len || r->long_path.len)
		return tar_broken(r, f, ERR_BAD_PARAMS, "the archive is cut off in its header");
	return failure_set(f, ERR_BAD_PARAMS, "read", NULL,
		"the archive is cut off: it has no end behind entry %llu, %.60s",
		(unsigned long long)r->entries, r->last);
}
