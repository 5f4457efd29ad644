/*
 * tar/reader.h - reads an archive as it comes, in pieces of any size: ustar, pax, GNU and the old format
 *
 *	tar_reader_init(&r);
 *	for (...) {
 *		err = tar_read(&r, bytes + used, len - used, &used, f);
 *		switch (r.got) ...
 *	}
 *	err = tar_reader_end(&r, f);		// it was whole?
 *	tar_reader_fini(&r);
 *
 *	TAR_ENTRY -> TAR_DATA ... -> TAR_DONE -> TAR_ENTRY ... -> TAR_OVER
 *
 * It touches no file and decides nothing: what is in the archive is told as it stands there, with all
 * numbers in their ranges and all names free of NULs.  Whatever the bytes are, it takes a bounded
 * amount of memory, and time for each that is linear.
 *
 * Owner: the caller.  Thread: one at a time.
 */
#ifndef TAR_READER_H
#define TAR_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/check.h"
#include "proto/err.h"

#define TAR_BLOCK_SIZE 512u

enum tar_type { TAR_FILE, TAR_HARDLINK, TAR_SYMLINK, TAR_CHAR, TAR_BLOCK, TAR_DIR, TAR_FIFO };

/* All pointers live until the next TAR_ENTRY. */
struct tar_entry {
	enum tar_type type;
	char *path;   /* without slashes at its end, but for the root */
	char *target; /* of links only */
	mode_t mode;  /* permissions */
	uint64_t uid, gid;
	uint64_t size; /* of a file, holes among it */
	bool sparse;   /* it has holes: what no data comes for */
	bool has_atime;
	struct timespec atime, mtime;
	unsigned major, minor;
};

/* What an entry has besides: one after the other from tar_attr(). */
struct tar_attr {
	enum tar_attr_kind { TAR_XATTR, TAR_ACL_ACCESS, TAR_ACL_DEFAULT, TAR_UNKNOWN } kind;
	const char *name; /* of an extended attribute; of what is UNKNOWN */
	char *value;      /* text of an ACL ends with a NUL */
	size_t len;
};

enum tar_got {
	TAR_NEED,  /* more bytes */
	TAR_ENTRY, /* `entry` */
	TAR_DATA,  /* data_len bytes of it, at data_at in the file; borrowed from the input */
	TAR_DONE,  /* all of the entry was there */
	TAR_OVER,  /* what follows belongs to no archive, and is to be dropped */
};

/* A piece of a file that is in the archive. */
struct tar_piece {
	uint64_t at, len;
};

struct tar_bytes {
	char *at;
	size_t len, size;
};

struct tar_reader {
	/* out */
	enum tar_got got;
	struct tar_entry entry;
	const char *data;
	size_t data_len;
	uint64_t data_at;
	uint64_t entries; /* so far, the one at hand among them */
	char last[128];   /* the beginning of its name */

	/* private */
	enum { TAR_HEADER, TAR_BODY, TAR_MORE_MAP, TAR_MAP, TAR_FILLED, TAR_SKIP, TAR_AFTER } at;
	char block[TAR_BLOCK_SIZE];
	size_t n_block;
	bool any, ended; /* there were bytes; a block of zeros was there */
	bool begun;      /* an entry, from its ustar header on, */
	bool done;       /* and all of it was told */
	/* The extended header, the long name, ... that is being read. */
	struct tar_bytes *body;
	uint64_t left; /* of it; of the data of the entry in the archive; of what is skipped */
	unsigned pad;  /* behind that */
	struct tar_bytes global, local, long_path, long_target;
	char name[256 + 2], target[101];
	/* What extended headers say of a sparse file. */
	unsigned sparse_major;
	bool sparse_given, has_real_size;
	uint64_t real_size, half_piece;
	bool has_half_piece;
	char *sparse_name;
	struct tar_piece *piece;
	size_t n_pieces, pieces_size, at_piece;
	uint64_t in_piece;
	/* A map in front of the data: numbers in lines. */
	uint64_t map_count, map_number, map_digits;
	bool map_counted;
	size_t attr_at;
};

void tar_reader_init(struct tar_reader *r);
void tar_reader_fini(struct tar_reader *r);

/* Some of LEN bytes: adds to USED how many; then `got` says what it came to.  0 or an error. */
MUST_CHECK int tar_read(
	struct tar_reader *r, const char *bytes, size_t len, size_t *used, struct failure *f);

/* Nothing follows.  0, or it was cut off. */
MUST_CHECK int tar_reader_end(const struct tar_reader *r, struct failure *f);

/* The next attribute of the entry at hand, once each.  False: there are no more. */
bool tar_attr(struct tar_reader *r, struct tar_attr *attr);

/*
 * For reader.c.
 */

/* The extended header B of the entry.  0 or an error. */
MUST_CHECK int tar_pax_apply(struct tar_reader *r, struct tar_bytes *b, struct failure *f);

/* The archive is broken: ERR_BAD_PARAMS, or what ERR is, with the place where. */
int tar_broken(const struct tar_reader *r, struct failure *f, int err, const char *fmt, ...)
	PRINTF(4, 5);

/* One more piece of a sparse file. */
MUST_CHECK int tar_add_piece(struct tar_reader *r, uint64_t at, uint64_t len, struct failure *f);

#endif
