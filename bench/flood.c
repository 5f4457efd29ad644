/*
 * bench/flood.c - `flood BYTES [PHASE]`: writes that many bytes to stdout, 256 KiB at a time, no libc
 *
 * The producer costs as little as a producer can, so that the copy is what is measured.
 *
 * With PHASE they are numbered lines, "0000000000\n" to "0000009972\n" and again from the first,
 * begun at byte PHASE of that cycle.  So the byte at each offset is known, and as the length of the
 * cycle is the product of two primes, no buffer can lose or repeat a block unseen (tests/chaos).
 */
#include "bench/nolibc.h"

#define CHUNK (256u << 10)
#define LINE  11u
#define CYCLE (LINE * 9973u)

static char chunk[CYCLE + CHUNK];

static unsigned long number(const char *digits)
{
	unsigned long n = 0;

	while (*digits >= '0' && *digits <= '9')
		n = n * 10 + (unsigned long)(*digits++ - '0');
	return n;
}

static void fill_lines(void)
{
	for (unsigned long i = 0; i < sizeof(chunk); i++) {
		unsigned long line = i % CYCLE / LINE, digit = LINE - 2 - i % LINE;

		if (i % LINE == LINE - 1) {
			chunk[i] = '\n';
			continue;
		}
		while (digit--)
			line /= 10;
		chunk[i] = (char)('0' + line % 10);
	}
}

void program(const long *stack)
{
	unsigned long left = stack[0] > 1 ? number((const char *)stack[2]) : 0;
	unsigned long cycle = stack[0] > 2 ? CYCLE : 1;
	unsigned long at = stack[0] > 2 ? number((const char *)stack[3]) % cycle : 0;
	long status = 0;

	if (stack[0] > 2)
		fill_lines();
	while (left && status == 0) {
		long n = syscall3(
			NR_WRITE, 1, (long)(chunk + at), (long)(left < CHUNK ? left : CHUNK));

		if (n <= 0) {
			status = 1;
		} else {
			left -= (unsigned long)n;
			at = (at + (unsigned long)n) % cycle;
		}
	}
	for (;;)
		syscall3(NR_EXIT, status, 0, 0);
}
