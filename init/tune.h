/*
 * init/tune.h - kernel settings that a guest without a distribution lacks
 *
 * Thread: the only one there is.
 */
#ifndef INIT_TUNE_H
#define INIT_TUNE_H

#include <stdbool.h>

/* Raises kernel limits, then does what key sysctl asks for.  Wants /proc. */
void tune_kernel(void);

/* Names the host after key hostname, or /etc/hostname. */
void tune_hostname(void);

/* Does the kernel take all lines of its log from us, or as many as it took before? */
void tune_log(bool all);

/* Brings the loopback interface up. */
void tune_loopback(void);

#endif
