/* init/grow.c - a file system as large as its device */
#include "init/grow.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/fs.h>
#include <linux/magic.h>

#include "base/fd.h"
#include "base/log.h"
#include "init/superblock.h"

/* fs/ext4/ext4.h: in no header of the user's. */
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)

void grow(const char *path, const char *device)
{
	cleanup_fd int disk = open(device, O_RDONLY | O_CLOEXEC);
	cleanup_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	uint64_t bytes, blocks, wanted;
	uint32_t block_size;
	struct statfs st;

	if (disk < 0 || dir < 0 || fstatfs(dir, &st) < 0 || ioctl(disk, BLKGETSIZE64, &bytes) < 0) {
		log_error("init", "cannot grow %s: %s", device, strerror(errno));
		return;
	}
	if (st.f_type != EXT4_SUPER_MAGIC || !superblock_ext_size(disk, &blocks, &block_size)) {
		log_warn("init", "not grown: %s is no ext4, and only ext4 can be", device);
		return;
	}
	wanted = bytes / block_size;
	if (wanted <= blocks) {
		log_info("init", "not grown: it fills its device=%s bytes=%llu", device,
			(unsigned long long)blocks * block_size);
		return;
	}
	if (ioctl(dir, EXT4_IOC_RESIZE_FS, &wanted) < 0)
		log_error("init", "cannot grow %s from %llu to %llu bytes: %s", device,
			(unsigned long long)blocks * block_size,
			(unsigned long long)wanted * block_size, strerror(errno));
	else
		log_info("init", "grown device=%s from=%llu to=%llu", device,
			(unsigned long long)blocks * block_size,
			(unsigned long long)wanted * block_size);
}
