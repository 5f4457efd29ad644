/*
 * init/setup.h - mounts and networks that the configuration asks for
 *
 * What cannot be done is logged as an error, and the rest goes on.
 * Thread: the only one there is.
 */
#ifndef INIT_SETUP_H
#define INIT_SETUP_H

/* Key mount, in the order in which they were given. */
void setup_mounts(void);

/*
 * What `ip=` on the kernel command line asks for, where the kernel has not done it; then key net; then
 * the name servers of the latter, or else of the former.
 */
void setup_net(void);

#endif
