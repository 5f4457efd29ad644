/* fs/mode.c - permissions by descriptor, never through a link */
#include "fs/mode.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"

/* Since Linux 6.6; the number is the same on every machine, and libc's headers may be older. */
#define NR_FCHMODAT2 452

int mode_set(int dir, const char *name, mode_t mode)
{
	long err = sys_raw(NR_FCHMODAT2, dir, (long)name, mode, AT_SYMLINK_NOFOLLOW, 0, 0);

	if (err != -ENOSYS)
		return (int)err;
	/* Where the kernel cannot, libc goes through /proc/self/fd. */
	return fchmodat(dir, name, mode, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}
