/*
 * bench/rawcat.c - makes its terminal raw, says so with one byte, then writes what it reads, no libc
 *
 * So that each byte goes once each way, and no line discipline echoes it beforehand.
 */
#include <asm/ioctls.h>
#include <asm/termbits.h>

#include "bench/nolibc.h"

void program(const long *stack)
{
	struct termios t;
	char bytes[64] = "R";
	long n = 1;

	(void)stack;
	if (syscall3(NR_IOCTL, 0, TCGETS, (long)&t) == 0) {
		t.c_iflag &= ~(tcflag_t)(ICRNL | IXON | ISTRIP | INLCR | IGNCR);
		t.c_oflag &= ~(tcflag_t)OPOST;
		t.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG | IEXTEN);
		t.c_cc[VMIN] = 1;
		t.c_cc[VTIME] = 0;
		if (syscall3(NR_IOCTL, 0, TCSETS, (long)&t) != 0)
			n = 0;
	}
	while (n > 0 && syscall3(NR_WRITE, 1, (long)bytes, n) == n)
		n = syscall3(NR_READ, 0, (long)bytes, sizeof(bytes));
	for (;;)
		syscall3(NR_EXIT, n != 0, 0, 0);
}
