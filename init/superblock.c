/* init/superblock.c - what a file system says of itself in its first blocks */
#include "init/superblock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Where the fields lie, in bytes from the beginning of the device; a length of 0: it has none. */
static const struct format {
	const char *type, *magic;
	unsigned magic_at, uuid_at, label_at, label_len;
} formats[] = {
	/* Documentation/filesystems/ext4/super.rst; a driver for all three is in every kernel. */
	{"ext4", "\x53\xef", 1024 + 0x38, 1024 + 0x68, 1024 + 0x78, 16},
	{"squashfs", "hsqs", 0, 0, 0, 0},
	/* fs/erofs/erofs_fs.h */
	{"erofs", "\xe2\xe1\xf5\xe0", 1024, 1024 + 48, 1024 + 64, 16},
	/* fs/xfs/libxfs/xfs_format.h */
	{"xfs", "XFSB", 0, 32, 108, 12},
	/* include/uapi/linux/btrfs_tree.h */
	{"btrfs", "_BHRfS_M", 0x10040, 0x10020, 0x1012b, 256},
};

static bool read_at(int fd, void *bytes, size_t len, off_t at)
{
	return pread(fd, bytes, len, at) == (ssize_t)len;
}

void uuid_print(const uint8_t b[16], char text[37])
{
	snprintf(text, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		b[13], b[14], b[15]);
}

bool superblock_read(int fd, struct superblock *sb)
{
	for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
		const struct format *f = &formats[i];
		char magic[8];
		uint8_t uuid[16];

		if (!read_at(fd, magic, strlen(f->magic), f->magic_at) ||
			memcmp(magic, f->magic, strlen(f->magic)) != 0)
			continue;
		*sb = (struct superblock){.type = f->type};
		if (f->uuid_at && read_at(fd, uuid, sizeof(uuid), f->uuid_at))
			uuid_print(uuid, sb->uuid);
		if (f->label_len && !read_at(fd, sb->label, f->label_len, f->label_at))
			sb->label[0] = '\0';
		return true;
	}
	return false;
}

static uint32_t le32(const uint8_t b[4])
{
	return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

bool superblock_ext_size(int fd, uint64_t *blocks, uint32_t *block_size)
{
	uint8_t sb[1024];
	uint32_t log_size;

	if (!read_at(fd, sb, sizeof(sb), 1024) || sb[0x38] != 0x53 || sb[0x39] != 0xef)
		return false;
	log_size = le32(sb + 0x18);
	if (log_size > 6) /* 64 KiB: no larger ones are defined */
		return false;
	*block_size = 1024u << log_size;
	*blocks = le32(sb + 0x4);
	if (le32(sb + 0x60) & 0x80) /* INCOMPAT_64BIT */
		*blocks |= (uint64_t)le32(sb + 0x150) << 32;
	return true;
}
