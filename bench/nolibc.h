/*
 * bench/nolibc.h - system calls for the programs that the bench runs: no libc, no start-up
 *
 * Includers define program(), which never returns.  STACK is as the kernel leaves it: argc,
 * argv[0], argv[1], ...
 */
#ifndef BENCH_NOLIBC_H
#define BENCH_NOLIBC_H

static inline long syscall3(long number, long a, long b, long c)
{
#if defined(__x86_64__)
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;

	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
	return x0;
#else
#error "no system calls for this architecture"
#endif
}

#if defined(__x86_64__)
#define NR_READ      0
#define NR_WRITE     1
#define NR_IOCTL     16
#define NR_NANOSLEEP 35
#define NR_EXIT      60
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tcall program");
#else
#define NR_READ      63
#define NR_WRITE     64
#define NR_IOCTL     29
#define NR_NANOSLEEP 101
#define NR_EXIT      93
__asm__(".globl _start\n_start:\n\tmov x0, sp\n\tbl program");
#endif

__attribute__((noreturn, used)) void program(const long *stack);

#endif
