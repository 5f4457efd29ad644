/* tests/unit/test_disks.c - init/superblock, init/partition: what a disk says of itself */
#include <endian.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "init/partition.h"
#include "init/superblock.h"
#include "tests/unit/unit.h"

#define UUID_TEXT "00112233-4455-6677-8899-aabbccddeeff"

static const uint8_t uuid[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa,
	0xbb, 0xcc, 0xdd, 0xee, 0xff};

/* A file without a name, LEN bytes of nothing. */
static int disk(off_t len)
{
	char path[] = "/tmp/guestd-disk-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, len), 0);
	return fd;
}

static void put(int fd, off_t at, const void *bytes, size_t len)
{
	assert_int_equal(pwrite(fd, bytes, len, at), len);
}

static void put32(int fd, off_t at, uint32_t value)
{
	value = htole32(value);
	put(fd, at, &value, sizeof(value));
}

static void test_formats(void **state)
{
	static const struct {
		const char *type, *magic, *label;
		off_t magic_at, uuid_at, label_at;
	} cases[] = {
		{"ext4", "\x53\xef", "sixteen letters.", 1080, 1128, 1144},
		{"squashfs", "hsqs", "", 0, 0, 0},
		{"erofs", "\xe2\xe1\xf5\xe0", "small", 1024, 1072, 1088},
		{"xfs", "XFSB", "twelve bytes", 0, 32, 108},
		{"btrfs", "_BHRfS_M", "any", 65600, 65568, 65835},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		cleanup_fd int fd = disk(1 << 20);
		struct superblock sb;

		assert_false(superblock_read(fd, &sb));
		put(fd, cases[i].magic_at, cases[i].magic, strlen(cases[i].magic));
		if (cases[i].uuid_at) {
			put(fd, cases[i].uuid_at, uuid, sizeof(uuid));
			put(fd, cases[i].label_at, cases[i].label, strlen(cases[i].label));
		}
		assert_true(superblock_read(fd, &sb));
		assert_string_equal(sb.type, cases[i].type);
		assert_string_equal(sb.uuid, cases[i].uuid_at ? UUID_TEXT : "");
		assert_string_equal(sb.label, cases[i].label);
	}
}

static void test_a_short_disk(void **state)
{
	cleanup_fd int fd = disk(1130);
	struct superblock sb;
	uint64_t blocks;
	uint32_t size;

	(void)state;
	put(fd, 1080, "\x53\xef", 2);
	assert_true(superblock_read(fd, &sb));
	assert_string_equal(sb.uuid, "");
	assert_string_equal(sb.label, "");
	assert_false(superblock_ext_size(fd, &blocks, &size));
}

static void test_sizes(void **state)
{
	cleanup_fd int fd = disk(1 << 20);
	uint64_t blocks;
	uint32_t size;

	(void)state;
	assert_false(superblock_ext_size(fd, &blocks, &size));
	put(fd, 1080, "\x53\xef", 2);
	put32(fd, 1024 + 4, 1000);
	put32(fd, 1024 + 0x150, 1);
	put32(fd, 1024 + 0x18, 2);
	assert_true(superblock_ext_size(fd, &blocks, &size));
	assert_int_equal(size, 4096);
	assert_int_equal(blocks, 1000); /* the upper half counts where it is said to */
	put32(fd, 1024 + 0x60, 0x80);
	assert_true(superblock_ext_size(fd, &blocks, &size));
	assert_int_equal(blocks, 1000 + (UINT64_C(1) << 32));
	put32(fd, 1024 + 0x18, 7);
	assert_false(superblock_ext_size(fd, &blocks, &size));
	put32(fd, 1024 + 0x18, UINT32_MAX);
	assert_false(superblock_ext_size(fd, &blocks, &size));
}

static void test_mbr(void **state)
{
	cleanup_fd int fd = disk(1 << 20);
	char id[37];

	(void)state;
	assert_false(partition_id(fd, 1, 512, id));
	put(fd, 510, "\x55\xaa", 2);
	put32(fd, 440, 0x1234abcd);
	assert_true(partition_id(fd, 10, 512, id));
	assert_string_equal(id, "1234abcd-0a");
	assert_false(partition_id(fd, 0, 512, id));
}

static void test_gpt(void **state)
{
	static const unsigned sizes[] = {512, 4096};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		cleanup_fd int fd = disk(1 << 20);
		char id[37];

		put(fd, sizes[i], "EFI PART", 8);
		put32(fd, sizes[i] + 72, 2);
		put32(fd, sizes[i] + 80, 4);
		put32(fd, sizes[i] + 84, 128);
		put(fd, 2 * sizes[i] + 2 * 128 + 16, uuid, sizeof(uuid));
		assert_true(partition_id(fd, 3, sizes[i], id));
		assert_string_equal(id, "33221100-5544-7766-8899-aabbccddeeff");
		assert_false(partition_id(fd, 5, sizes[i], id));
		/* Entries far away, and so large that they would be. */
		put32(fd, sizes[i] + 76, UINT32_MAX);
		assert_false(partition_id(fd, 3, sizes[i], id));
		put32(fd, sizes[i] + 76, 0);
		put32(fd, sizes[i] + 84, UINT32_MAX);
		put32(fd, sizes[i] + 80, UINT32_MAX);
		assert_false(partition_id(fd, UINT32_MAX, sizes[i], id));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_a_short_disk),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_mbr),
		cmocka_unit_test(test_gpt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
