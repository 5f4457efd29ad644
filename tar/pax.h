/*
 * tar/pax.h - the headers of a pax archive (POSIX.1-2017, pax, "pax Interchange Format")
 *
 * What a ustar header can hold stands there alone, so that most entries cost one block of 512 bytes.
 * What it cannot hold is said in records before it: long names and those that are not ASCII, large
 * sizes and ids, times between seconds, sparse files as GNU tar's format 1.0, extended attributes.
 * Names are bytes: they come through as they are, in any locale.
 *
 * No I/O.  Thread: one at a time.
 */
#ifndef TAR_PAX_H
#define TAR_PAX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/buf.h"

#define PAX_BLOCK 512ul

/* Two blocks of zeros are the end of an archive. */
#define PAX_END (2 * PAX_BLOCK)

enum pax_type {
	PAX_FILE = '0',
	PAX_LINK = '1', /* another name of an entry before it */
	PAX_SYMLINK = '2',
	PAX_CHAR = '3',
	PAX_BLOCK_DEVICE = '4',
	PAX_DIR = '5',
	PAX_FIFO = '6',
};

struct pax_entry {
	enum pax_type type;
	const char *name;   /* without a slash at its end */
	const char *target; /* of both kinds of links; else NULL */
	mode_t mode;        /* 07777 of it */
	uint64_t uid, gid;
	const char *user, *group; /* their names; NULL: left out */
	struct timespec mtime;
	uint64_t size; /* bytes that follow, without those that fill the last block */
	unsigned major, minor;
	bool sparse;               /* what follows is a map and the data that it names, */
	uint64_t real_size;        /* of a file of this size */
	const struct buf *records; /* pax_record()s to go along, or NULL */
};

/* Appends the headers of E.  0 or -ENOBUFS, then OUT is as it was. */
MUST_CHECK int pax_header(struct buf *out, const struct pax_entry *e);

/* Appends the record KEY=VALUE.  0 or -ENOBUFS. */
MUST_CHECK int pax_record(struct buf *out, const char *key, const void *value, size_t len);

/* Bytes that fill the last block of LEN bytes. */
static inline size_t pax_padding(uint64_t len)
{
	return (size_t)(-len & (PAX_BLOCK - 1));
}

#endif
