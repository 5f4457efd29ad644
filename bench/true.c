/*
 * bench/true.c - the smallest program there is: no libc, no start-up, exit(0)
 *
 * Of the millisecond that /bin/true takes, most is its dynamic linker; here the spawn is all.
 */
#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\tmov $60, %eax\n\txor %edi, %edi\n\tsyscall\n\thlt");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x8, #93\n\tmov x0, #0\n\tsvc #0");
#else
#error "no _start for this architecture"
#endif
