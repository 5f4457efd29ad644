/* ctl/interrupt.c - signals that are to end a call in order */
#include "ctl/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "ctl/terminal.h"

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
static struct sigaction before[ARRAY_LEN(ending)]; /* what the caller of guestctl had set */
static int signal_pipe[2] = {-1, -1};

/*
 * The next one is not caught, so that it works while we are blocked in a write to a terminal
 * that was stopped.
 */
static void restore_signals(void)
{
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		sigaction(ending[i], &before[i], NULL);
}

static void on_signal(int number)
{
	int saved = errno;
	char byte = (char)number;

	if (number != SIGWINCH) {
		restore_signals();
		terminal_restore(); /* the next one leaves no time for it */
	}
	if (write(signal_pipe[1], &byte, 1) < 0)
		errno = 0; /* so full of signals that nobody has the time to hear them */
	errno = saved;
}

int interrupt_watch(bool resizes)
{
	struct sigaction catch = {.sa_handler = on_signal};

	if (signal_pipe[0] < 0 && pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_LEN(ending); i++)
		sigaction(ending[i], NULL, &before[i]);
	for (size_t i = 0; i < ARRAY_LEN(ending); i++) {
		/* What nohup and a shell's background jobs ignore stays ignored. */
		if (before[i].sa_handler != SIG_IGN)
			sigaction(ending[i], &catch, NULL);
	}
	if (resizes)
		sigaction(SIGWINCH, &catch, NULL);
	/* Whoever reads our output may go: the call is to be canceled then. */
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

void interrupt_unwatch(void)
{
	restore_signals();
	signal(SIGWINCH, SIG_DFL);
	signal(SIGPIPE, SIG_DFL);
}

int interrupt_fd(void)
{
	return signal_pipe[0];
}

int interrupt_hear(void)
{
	char byte;

	return read(signal_pipe[0], &byte, 1) == 1 ? (unsigned char)byte : 0;
}
