/*
 * proc/terminal.h - pseudo-terminals
 *
 *	master   ours: output is read from it, input written to it
 *	slave    the process's 0, 1 and 2.  We keep it open until the leader is gone: otherwise
 *	         a program that closes its descriptors for a moment would look like one that ended
 *
 * Thread: loop.
 */
#ifndef PROC_TERMINAL_H
#define PROC_TERMINAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/check.h"

struct terminal {
	int master, slave; /* -1 = none */
};

#define NO_TERMINAL ((struct terminal){-1, -1})

/* A new one of that size, which belongs to OWNER.  0 or -errno; *OUT is for terminal_close. */
MUST_CHECK int terminal_open(uint64_t rows, uint64_t cols, uid_t owner, struct terminal *out);
void terminal_close(struct terminal *t);

/* By either side.  The foreground program gets SIGWINCH if it is another size.  0 or -errno. */
MUST_CHECK int terminal_resize(int fd, uint64_t rows, uint64_t cols);

/* SIGWINCH to the foreground program, so that it draws its screen anew. */
void terminal_nudge(int fd);

/*
 * What a person types to end the input, behind a byte LAST: twice in the middle of a line, which
 * the first one only hands over.  How many bytes were put into OUT.
 */
size_t terminal_eof(int fd, char last, char out[2]);

#endif
