/* system/rss.h - how much memory the agent itself has */
#ifndef SYSTEM_RSS_H
#define SYSTEM_RSS_H

#include <stdint.h>

/* Resident bytes; the most that it ever was, where /proc does not tell.  Reads files: on a worker. */
uint64_t rss_bytes(void);

#endif
