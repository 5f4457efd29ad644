/*
 * init/early.h - what PID 1 settles before it has any file system but the root
 *
 * Thread: the only one there is.
 */
#ifndef INIT_EARLY_H
#define INIT_EARLY_H

/* Where programs are looked for when nobody says otherwise. */
#define INIT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* A known environment and umask, and Ctrl-Alt-Del as SIGINT to PID 1 instead of a reset. */
void early_process(void);

/* Descriptors 0 to 2 are open afterwards, on the console where there is one.  Wants /dev. */
void early_fds(void);

#endif
