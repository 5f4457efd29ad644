/* machine/entropy.c - randomness from the host */
#include "machine/entropy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/random.h>

#include "base/fd.h"

int entropy_add(const void *bytes, size_t len)
{
	union {
		struct rand_pool_info info;
		char room[sizeof(struct rand_pool_info) + ENTROPY_MAX];
	} pool;
	cleanup_fd int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (len > ENTROPY_MAX)
		return -EMSGSIZE;
	pool.info.entropy_count = (int)(8 * len);
	pool.info.buf_size = (int)len;
	memcpy(pool.info.buf, bytes, len);
	/* A credit alone reaches the generator with its next reseed only, up to minutes later. */
	if (ioctl(fd, RNDADDENTROPY, &pool.info) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		err = -errno;
	explicit_bzero(&pool, sizeof(pool));
	return err;
}
