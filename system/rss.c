/* system/rss.c - how much memory the agent itself has */
#include "system/rss.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/fd.h"

uint64_t rss_bytes(void)
{
	char text[1024];
	const char *rss = NULL;
	struct rusage usage;

	/* statm and status may be off by megabytes: threads add up what they fault in, proc(5). */
	if (fd_read_file("/proc/self/smaps_rollup", text, sizeof(text)) > 0)
		rss = strstr(text, "\nRss:");
	if (rss)
		return strtoull(rss + strlen("\nRss:"), NULL, 10) * 1024;
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		return (uint64_t)usage.ru_maxrss * 1024; /* at its highest */
	return 0;
}
