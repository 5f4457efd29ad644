/*
 * init/handoff.h - another program becomes process 1
 *
 * Thread: the only one there is.
 */
#ifndef INIT_HANDOFF_H
#define INIT_HANDOFF_H

#include <stdbool.h>

/*
 * Forks; process 1 becomes PATH, with the arguments behind ARGV[0], and the child goes on from here:
 * true, in the child alone.  False where PATH cannot be run, in process 1, which is as it was.
 */
bool handoff(const char *path, char **argv);

#endif
