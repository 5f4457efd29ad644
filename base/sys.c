/* base/sys.c - raw system calls */
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <linux/stat.h>

#include "base/check.h"

/* From linux/sched.h, which cannot stand beside libc's sched.h everywhere. */
struct clone3_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
	uint64_t set_tid, set_tid_size, cgroup;
};

#define INTO_CGROUP UINT64_C(0x200000000) /* CLONE_INTO_CGROUP */

/* What kernels before the members behind `tls` know (CLONE_ARGS_SIZE_VER0). */
#define CLONE3_SIZE offsetof(struct clone3_args, set_tid)

/* struct statx of linux/stat.h clashes with glibc's, and musl 1.2.3 has none: ask by number. */
#define STATX_MASK (STATX_INO | STATX_SIZE | STATX_MTIME | STATX_CTIME)

#if defined(__x86_64__)

SYS_CHILD long sys_raw(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 asm("r10") = d;
	register long r8 asm("r8") = e;
	register long r9 asm("r9") = f;
	long ret;

	asm volatile("syscall"
		     : "=a"(ret)
		     : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
		     : "rcx", "r11", "memory");
	return ret;
}

/* In the child the stack is another one: nothing of ours may be read from it but registers. */
static long raw_clone(long nr, long a, long b, long c, void (*fn)(void *arg), void *arg)
{
	register long none asm("r10") = 0;
	register long tls asm("r8") = 0;
	register void (*child)(void *) asm("r12") = fn;
	register void *child_arg asm("r13") = arg;
	long ret;

	asm volatile("syscall\n\t"
		     "test %%rax, %%rax\n\t"
		     "jnz 1f\n\t"
		     "xor %%ebp, %%ebp\n\t"
		     "mov %[arg], %%rdi\n\t"
		     "call *%[fn]\n\t"
		     "ud2\n"
		     "1:"
		     : "=a"(ret)
		     : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(none),
		     "r"(tls), [fn] "r"(child), [arg] "r"(child_arg)
		     : "rcx", "r11", "memory");
	return ret;
}

#elif defined(__aarch64__)

SYS_CHILD long sys_raw(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x8 asm("x8") = nr;
	register long x0 asm("x0") = a;
	register long x1 asm("x1") = b;
	register long x2 asm("x2") = c;
	register long x3 asm("x3") = d;
	register long x4 asm("x4") = e;
	register long x5 asm("x5") = f;

	asm volatile("svc 0"
		     : "+r"(x0)
		     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
		     : "memory");
	return x0;
}

static long raw_clone(long nr, long a, long b, long c, void (*fn)(void *arg), void *arg)
{
	register long x8 asm("x8") = nr;
	register long x0 asm("x0") = a;
	register long x1 asm("x1") = b;
	register long x2 asm("x2") = c;
	register long x3 asm("x3") = 0;
	register long x4 asm("x4") = 0;
	register void (*child)(void *) asm("x10") = fn;
	register void *child_arg asm("x11") = arg;

	asm volatile(
		"svc 0\n\t"
		"cbnz x0, 1f\n\t"
		"mov x29, xzr\n\t"
		"mov x0, %[arg]\n\t"
		"blr %[fn]\n\t"
		"brk 0\n"
		"1:"
		: "+r"(x0)
		: "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), [fn] "r"(child), [arg] "r"(child_arg)
		: "memory", "x30");
	return x0;
}

#else
#error "base/sys.c knows x86-64 and arm64"
#endif

void sys_unignore(int number)
{
	struct sys_sigaction now = {0}, dfl = {0};

	sys_raw(SYS_rt_sigaction, number, 0, (long)&now, sizeof(now.mask), 0, 0);
	if (now.handler == (unsigned long)SIG_IGN)
		sys_raw(SYS_rt_sigaction, number, (long)&dfl, 0, sizeof(dfl.mask), 0, 0);
}

SYS_CHILD void sys_stamp(const char *path, struct file_stamp *out)
{
	struct statx st;
	long err = sys_raw(SYS_statx, AT_FDCWD, (long)path, 0, STATX_MASK, (long)&st, 0);

	out->err = (int)err;
	if (err) {
		out->dev_major = out->dev_minor = out->mtime_ns = out->ctime_ns = 0;
		out->ino = out->size = 0;
		out->mtime_s = out->ctime_s = 0;
		return;
	}
	/* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): the kernel has filled it */
	out->dev_major = st.stx_dev_major;
	out->dev_minor = st.stx_dev_minor;
	out->ino = st.stx_ino;
	out->size = st.stx_size;
	out->mtime_s = st.stx_mtime.tv_sec;
	out->mtime_ns = st.stx_mtime.tv_nsec;
	out->ctime_s = st.stx_ctime.tv_sec;
	out->ctime_ns = st.stx_ctime.tv_nsec;
}

bool sys_is_mount_root(int dir, const char *name)
{
	struct statx st = {0};

	return sys_raw(SYS_statx, dir, (long)name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, (long)&st, 0) ==
		       0 &&
	       (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

SYS_CHILD int sys_stamp_equal(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->err == b->err && a->dev_major == b->dev_major && a->dev_minor == b->dev_minor &&
	       a->ino == b->ino && a->size == b->size && a->mtime_s == b->mtime_s &&
	       a->mtime_ns == b->mtime_ns && a->ctime_s == b->ctime_s && a->ctime_ns == b->ctime_ns;
}

pid_t sys_clone(uint64_t flags, int cgroup, int *pid_at, void *stack, size_t stack_len,
	void (*fn)(void *arg), void *arg)
{
	/* Container runtimes refuse clone3 with ENOSYS, because they cannot look into its struct. */
	static _Atomic bool refused;
	struct clone3_args args = {
		.flags = flags | (pid_at ? CLONE_PARENT_SETTID : 0),
		.parent_tid = (uintptr_t)pid_at,
		.exit_signal = SIGCHLD,
		.stack = (uintptr_t)stack,
		.stack_size = stack_len,
	};
	long pid = -ENOSYS;

	ASSERT((uintptr_t)stack % 16 == 0 && stack_len % 16 == 0);
	if (cgroup >= 0) {
		args.flags |= INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup;
	}
	if (!atomic_load(&refused))
		pid = raw_clone(SYS_clone3, (long)&args,
			cgroup >= 0 ? (long)sizeof(args) : (long)CLONE3_SIZE, 0, fn, arg);
	/* Linux 5.3 to 5.6 have clone3 but know nothing of cgroups there. */
	if (cgroup >= 0)
		return pid == -EPERM || pid == -EINVAL || pid == -E2BIG ? -ENOSYS : (pid_t)pid;
	if (pid == -ENOSYS || pid == -EPERM) {
		atomic_store(&refused, true);
		pid = raw_clone(SYS_clone, (long)(args.flags | SIGCHLD),
			(long)((char *)stack + stack_len), (long)pid_at, fn, arg);
	}
	return (pid_t)pid;
}

#if defined(__GLIBC__)

void sys_malloc_setup(void)
{
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
}

void sys_malloc_trim(void)
{
	malloc_trim(0);
}

#else /* musl gives back by itself */

void sys_malloc_setup(void)
{
}

void sys_malloc_trim(void)
{
}

#endif
