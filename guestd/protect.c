/* guestd/protect.c - what keeps the agent alive and to itself */
#include "guestd/protect.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "proto/err.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif

#define SELF  "/proc/self/exe"
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Sealed */

static bool is_sealed(void)
{
	cleanup_fd int fd = open(SELF, O_RDONLY | O_CLOEXEC);
	int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS); /* of what is no memfd: EINVAL */

	return seals >= 0 && (seals & SEALS) == SEALS;
}

/* Our program in memory, or -errno. */
static int copy_of_self(void)
{
	cleanup_fd int from = open(SELF, O_RDONLY | O_CLOEXEC);
	cleanup_fd int to = memfd_create("guestd", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	struct stat st;

	if (to < 0 && errno == EINVAL) /* it does not know MFD_EXEC, and needs none */
		to = memfd_create("guestd", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (from < 0 || to < 0 || fstat(from, &st) < 0)
		return -errno;
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = sendfile(to, from, NULL, (size_t)left);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		left -= n;
	}
	if (fcntl(to, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	return take_fd(&to);
}

void protect_seal(char **argv)
{
	cleanup_fd int fd = -1;

	if (is_sealed()) {
		prctl(PR_SET_NAME, "guestd"); /* it is the number of a descriptor after the exec */
		return;
	}
	fd = copy_of_self();
	if (fd >= 0) {
		/* Not by /proc/self/fd: an image may have no /proc yet.  It returns on failure only. */
		syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH); /* musl has none */
		log_warn("main", "cannot run from sealed memory (seal): %s; going on without",
			strerror(errno));
		return;
	}
	log_warn("main", "cannot make a sealed copy of the program (seal): %s; going on without",
		strerror(-fd));
}

/* Kept */

static void spare_from_oom_killer(void)
{
	static const char lowest[] = "-1000";
	cleanup_fd int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	int err = fd < 0 ? -errno : fd_write_all(fd, lowest, sizeof(lowest) - 1);

	if (err)
		log_debug("main",
			"the out-of-memory killer may choose the agent, oom_score_adj stays err=%s",
			err_name(err));
}

/* Locks a segment of the program. */
static int lock_segments(struct dl_phdr_info *info, size_t size, void *arg)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int *err = arg;

	(void)size;
	for (size_t i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t begin = (info->dlpi_addr + ph->p_vaddr) & ~(page - 1);
		uintptr_t end = info->dlpi_addr + ph->p_vaddr + ph->p_memsz;
		long ret = ph->p_type == PT_LOAD
				   ? sys_raw(SYS_mlock2, (long)begin, (long)(end - begin),
					     MLOCK_ONFAULT, 0, 0, 0)
				   : 0;

		if (ret < 0)
			*err = (int)ret;
	}
	return 1; /* of the first object, which is the program */
}

/*
 * What was used of the program once is not read again from a disk that is frozen or gone, nor because
 * memory ran short.  Pages that were never used are not read for it: it costs no memory.  The heap is
 * left out: locked memory cannot be given back to the guest (madvise(2), as malloc_trim makes it),
 * and with all that is to come (mlockall(2)) any allocation may fail.  It has memory.min.
 */
static void stay_in_memory(void)
{
	int err = 0;

	dl_iterate_phdr(lock_segments, &err);
	if (err)
		log_debug("main", "the program is not locked in memory err=%s", err_name(err));
}

void protect(void)
{
	prctl(PR_SET_DUMPABLE, 0);
	spare_from_oom_killer();
	stay_in_memory();
}
