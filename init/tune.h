/*
 * init/tune.h - kernel settings that a guest without a distribution lacks
 *
 * Thread: the only one there is.
 */
#ifndef INIT_TUNE_H
#define INIT_TUNE_H

/* Raises kernel limits and names the host after /etc/hostname.  Wants /proc. */
void tune_kernel(void);

/* Brings the loopback interface up. */
void tune_loopback(void);

#endif
