/*
 * init/console.h - a shell on a tty, for when nothing else works
 *
 * It asks for no password: whoever can type there is root.  So it is there only where the
 * configuration names a tty.  Process 1 starts it, and it lives without the agent.
 *
 * Thread: the only one there is.
 */
#ifndef INIT_CONSOLE_H
#define INIT_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* When it wants to be started; UINT64_MAX: not before something ends. */
uint64_t console_due_us(void);

/* TTY as configured, NULL for none. */
void console_init(const char *tty);

/* Asks for Enter on the tty, in a child, which then becomes the shell.  Does not wait for it. */
void console_start(uint64_t now_us);

/* PID was reaped: was it ours? */
bool console_ended(pid_t pid, uint64_t now_us);

/* The machine ends: interactive shells pass over SIGTERM. */
void console_hang_up(void);

#endif
