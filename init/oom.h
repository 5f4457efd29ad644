/* init/oom.h - whom the kernel kills when there is no memory left */
#ifndef INIT_OOM_H
#define INIT_OOM_H

#define OOM_NEVER   "-1000"
#define OOM_DEFAULT "0"

/* Of this process, and of what it forks from now on.  A failure is logged. */
void oom_set(const char *adjustment);

#endif
