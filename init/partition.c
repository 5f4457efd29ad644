/* init/partition.c - the identity of a partition */
#include "init/partition.h"

#include <endian.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "init/superblock.h"

/* UEFI specification, 5.3.2: the header in the second block, and what it says of its entries. */
static bool gpt_id(int fd, unsigned number, unsigned block_size, char id[37])
{
	struct {
		char signature[8];
		uint8_t skipped[64];
		uint64_t entries;
		uint32_t n, entry_size;
	} header;
	uint8_t g[16];

	if (pread(fd, &header, sizeof(header), block_size) != (ssize_t)sizeof(header) ||
		memcmp(header.signature, "EFI PART", 8) != 0 || number > le32toh(header.n) ||
		le64toh(header.entries) > INT64_MAX / block_size / 2)
		return false;
	if (pread(fd, g, sizeof(g),
		    (off_t)(le64toh(header.entries) * block_size +
			    (uint64_t)(number - 1) * le32toh(header.entry_size) + 16)) != 16)
		return false;
	/* The first three groups are numbers, in little-endian; the rest are bytes. */
	uuid_print((const uint8_t[16]){g[3], g[2], g[1], g[0], g[5], g[4], g[7], g[6], g[8], g[9],
			   g[10], g[11], g[12], g[13], g[14], g[15]},
		id);
	return true;
}

static bool mbr_id(int fd, unsigned number, char id[37])
{
	uint8_t block[512];

	if (pread(fd, block, sizeof(block), 0) != (ssize_t)sizeof(block) || block[510] != 0x55 ||
		block[511] != 0xaa)
		return false;
	snprintf(id, 37, "%02x%02x%02x%02x-%02x", block[443], block[442], block[441], block[440],
		number);
	return true;
}

bool partition_id(int fd, unsigned number, unsigned block_size, char id[37])
{
	return number && (gpt_id(fd, number, block_size, id) || mbr_id(fd, number, id));
}
