/*
 * init/superblock.h - what a file system says of itself in its first blocks
 *
 * Thread: any.  Bytes of a disk are untrusted: nothing is read but fields at fixed places.
 */
#ifndef INIT_SUPERBLOCK_H
#define INIT_SUPERBLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

struct superblock {
	const char *type; /* as mount(2) wants it; static */
	char uuid[37];    /* "" where it has none */
	char label[257];
};

/* What is on FD, a device or a file.  False: nothing that is known here. */
bool superblock_read(int fd, struct superblock *sb);

/* 16 bytes as they are written, in the order in which they lie. */
void uuid_print(const uint8_t bytes[16], char text[37]);

/* The size that an ext2, ext3 or ext4 has; false where there is none on FD. */
bool superblock_ext_size(int fd, uint64_t *blocks, uint32_t *block_size);

#endif
