/*
 * bench/spawn.h - the cheapest spawn there is, for the bench itself and the minimal agent
 *
 * clone3 with CLONE_VM | CLONE_VFORK: the child borrows the parent's memory, on a stack of its
 * own, until it has called execve.  Nothing is copied, whatever the size of the parent, and the
 * child tells of a failure by writing into the parent's struct.  Both contestants of the floor
 * use this very function, so that their difference is the daemon and nothing else.
 */
#ifndef BENCH_SPAWN_H
#define BENCH_SPAWN_H

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

struct spawn {
	char **argv, **envp;
	int out, err; /* become descriptors 1 and 2; -1 leaves the parent's */
	int error;    /* out: errno of a failed execve */
};

static void spawn_child(struct spawn *s)
{
	if (s->out >= 0)
		dup2(s->out, STDOUT_FILENO);
	if (s->err >= 0)
		dup2(s->err, STDERR_FILENO);
	setsid();
	execve(s->argv[0], s->argv, s->envp);
	s->error = errno;
	_exit(127);
}

/* The pid and, where PIDFD is given, a descriptor of it; or -errno, then there is no child. */
static inline pid_t spawn(struct spawn *s, int *pidfd)
{
	static char stack[16384] __attribute__((aligned(16)));
	const uint64_t args[8] = {
		CLONE_VM | CLONE_VFORK | (pidfd ? CLONE_PIDFD : 0),
		(uintptr_t)pidfd,
		0,
		0,
		SIGCHLD,
		(uintptr_t)stack,
		sizeof(stack),
		0,
	};
	long pid;

	s->error = 0;
	/* The child never returns from here: its frame is on the other stack. */
#if defined(__x86_64__)
	__asm__ volatile(
		"syscall\n\t"
		"test %%eax, %%eax\n\t"
		"jnz 1f\n\t"
		"mov %[s], %%rdi\n\t"
		"call *%[child]\n\t"
		"hlt\n"
		"1:"
		: "=a"(pid)
		: "a"(435L), "D"(args), "S"(sizeof(args)), [s] "r"(s), [child] "r"(spawn_child)
		: "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x0 __asm__("x0") = (long)args;
	register long x1 __asm__("x1") = sizeof(args);
	register long x8 __asm__("x8") = 435;

	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x0, %[s]\n\t"
			 "blr %[child]\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x1), "r"(x8), [s] "r"(s), [child] "r"(spawn_child)
			 : "memory");
	pid = x0;
#else
#error "no clone3 for this architecture"
#endif
	return (pid_t)pid;
}

#endif
