/* bench/sleeper.c - does nothing until it is killed, no libc: of a start and a stop, all is the agent's */
#include "bench/nolibc.h"

void program(const long *stack)
{
	const long long_time[2] = {1000000, 0};

	(void)stack;
	for (;;)
		syscall3(NR_NANOSLEEP, (long)long_time, 0, 0);
}
