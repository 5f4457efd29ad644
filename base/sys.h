/*
 * base/sys.h - system calls that libc lacks, or that must not go through it
 *
 * The raw calls return -errno and touch neither errno nor any thread-local state: a child that
 * shares our memory (proc/spawn.c) may use them.  The only file with #ifdefs on machines.
 */
#ifndef BASE_SYS_H
#define BASE_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * How a file was found: equal stamps, same contents, as far as a file system can tell.  One
 * that is not there has a stamp too.
 */
struct file_stamp {
	int err; /* 0 or -errno */
	uint32_t dev_major, dev_minor;
	uint64_t ino, size;
	int64_t mtime_s, ctime_s;
	uint32_t mtime_ns, ctime_ns;
};

/* Raw: no errno. */
long sys_raw(long nr, long a, long b, long c, long d, long e, long f);

/*
 * If signal NUMBER is ignored, it has its default from now on.  Also the two that libc keeps for
 * itself and lets nobody touch: GNU make leaves them ignored to all that it starts.
 */
void sys_unignore(int number);

/*
 * Memory that is freed leaves the process: large blocks at once, because they never come out of the
 * heap (glibc would learn to keep them there), the rest with sys_malloc_trim, in some milliseconds.
 */
void sys_malloc_setup(void);
void sys_malloc_trim(void);

void sys_stamp(const char *path, struct file_stamp *out);

/* Is something mounted on NAME in the directory DIR?  Never told before Linux 5.8. */
bool sys_is_mount_root(int dir, const char *name);

int sys_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);

/*
 * A child that runs FN(ARG) on STACK and never returns from it.  FLAGS beyond SIGCHLD are the caller's:
 * with CLONE_VM it is in our memory but not in our thread, and shares nothing else; without, it has a
 * copy.  Its pid is at PID_AT, if that is not NULL, before it runs.  With CGROUP, the directory of a cgroup v2, it begins its life in there; -1 is the agent's own.
 * clone3(2) where it is to be had, else clone(2).  The pid, or -errno; -ENOSYS where nothing can place
 * a child into a cgroup.
 */
pid_t sys_clone(uint64_t flags, int cgroup, int *pid_at, void *stack, size_t stack_len,
	void (*fn)(void *arg), void *arg);

/* struct sigaction as the kernel has it. */
struct sys_sigaction {
	unsigned long handler, flags, restorer, mask;
};

/*
 * For functions that run in such a child: the instrumentation of a sanitizer writes to
 * thread-local state, which is our thread's.
 */
#if defined(__clang__)
#define SYS_CHILD __attribute__((disable_sanitizer_instrumentation, no_stack_protector))
#else
#define SYS_CHILD                                                                                  \
	__attribute__((no_sanitize_address, no_sanitize_thread, no_sanitize_undefined,             \
		optimize("no-stack-protector")))
#endif

#endif
