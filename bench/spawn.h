/*
 * bench/spawn.h - the cheapest spawn there is, for the bench itself and the minimal agent
 *
 * clone3 with CLONE_VM: the child borrows the parent's memory, on a stack of its own, until its
 * execve.  Nothing is copied, whatever the size of the parent, and the child tells of a failure by
 * writing into the parent's struct.  With CLONE_VFORK the parent sleeps until then; without, it
 * goes on, and the struct must stay until the process is gone.  Both contestants of the floor use
 * this very function, so that their difference is the daemon and nothing else.
 */
#ifndef BENCH_SPAWN_H
#define BENCH_SPAWN_H

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

struct spawn {
	char **argv, **envp; /* argv[0] is a path */
	int out, err;        /* become descriptors 1 and 2; -1 leaves the parent's */
	int error;           /* out: errno of what failed in the child */
	char stack[8192] __attribute__((aligned(16)));
};

#if defined(__x86_64__)

/* Raw: libc would set the parent's errno, and beside us the parent may be running. */
static inline long spawn_raw(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return result;
}

/* The child never returns from here: its frame is on the other stack. */
static inline long spawn_clone(const void *args, size_t len, void (*child)(void *), void *arg)
{
	long result;

	__asm__ volatile("syscall\n\t"
			 "test %%eax, %%eax\n\t"
			 "jnz 1f\n\t"
			 "mov %[arg], %%rdi\n\t"
			 "call *%[child]\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(result)
			 : "a"(435L), "D"(args), "S"(len), [arg] "r"(arg), [child] "r"(child)
			 : "rcx", "r11", "memory");
	return result;
}

#elif defined(__aarch64__)

static inline long spawn_raw(long number, long a, long b, long c)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;

	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
	return x0;
}

static inline long spawn_clone(const void *args, size_t len, void (*child)(void *), void *arg)
{
	register long x8 __asm__("x8") = 435;
	register long x0 __asm__("x0") = (long)args;
	register long x1 __asm__("x1") = (long)len;

	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x0, %[arg]\n\t"
			 "blr %[child]\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), [arg] "r"(arg), [child] "r"(child)
			 : "memory", "x30");
	return x0;
}

#else
#error "no clone3 for this architecture"
#endif

static void spawn_child(void *arg)
{
	struct spawn *s = arg;
	long err = 0;

	if (s->out >= 0)
		err = spawn_raw(SYS_dup3, s->out, STDOUT_FILENO, 0);
	if (s->err >= 0 && err >= 0)
		err = spawn_raw(SYS_dup3, s->err, STDERR_FILENO, 0);
	spawn_raw(SYS_setsid, 0, 0, 0);
	if (err >= 0)
		err = spawn_raw(SYS_execve, (long)s->argv[0], (long)s->argv, (long)s->envp);
	s->error = (int)-err;
	for (;;)
		spawn_raw(SYS_exit_group, 127, 0, 0);
}

/* FLAGS: 0 or CLONE_VFORK.  The pid, and a descriptor of it; or -errno: there is no child. */
static inline pid_t spawn(struct spawn *s, uint64_t flags, int *pidfd)
{
	const uint64_t args[8] = {
		CLONE_VM | CLONE_PIDFD | flags,
		(uintptr_t)pidfd,
		0,
		0,
		SIGCHLD,
		(uintptr_t)s->stack,
		sizeof(s->stack),
		0,
	};

	s->error = 0;
	return (pid_t)spawn_clone(args, sizeof(args), spawn_child, s);
}

#endif
