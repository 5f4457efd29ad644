/*
 * guestd/emit.h - `guestd emit TYPE [DATA|-]`: a process of the guest tells the host something
 *
 * No agent: a command, with signals as they were inherited, no thread, no loop, no files read.
 */
#ifndef GUESTD_EMIT_H
#define GUESTD_EMIT_H

/* ARGV is what follows `emit`.  Says on stderr what is wrong; the exit status: 0, 1 or 2. */
int emit(int argc, char **argv);

#endif
