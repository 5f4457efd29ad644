/* base/log.c - one line an event */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* The kernel cuts a record of /dev/kmsg at about 1 KiB (LOG_LINE_MAX). */
#define LINE_MAX_BYTES 900

static const struct {
	const char *name;
	int kmsg; /* syslog priority, facility daemon (3 << 3) */
} levels[] = {
	[LOG_ERROR] = {"error", 27},
	[LOG_WARN] = {"warn", 28},
	[LOG_INFO] = {"info", 30},
	[LOG_DEBUG] = {"debug", 31},
};

/* Set at start, before there is a second thread. */
static enum log_level threshold = LOG_INFO;
static int kmsg_fd = -1;

void log_set_level(enum log_level level)
{
	threshold = level;
}

bool log_level_parse(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		if (strcmp(levels[i].name, name) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

void log_to_kmsg(void)
{
	if (kmsg_fd < 0)
		kmsg_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
}

void log_line(enum log_level level, const char *component, const char *fmt, ...)
{
	int saved = errno;
	char line[LINE_MAX_BYTES + 1];
	size_t len;
	int n = 0;
	va_list ap;

	if (level > threshold)
		return;
	if (kmsg_fd >= 0)
		n = snprintf(line, sizeof(line), "<%d>", levels[level].kmsg);
	n += snprintf(line + n, sizeof(line) - (size_t)n, "guestd: %s %s: ", levels[level].name,
		component);
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	len = strlen(line);
	if (len == LINE_MAX_BYTES)
		len--;
	line[len++] = '\n';
	/* One write, so that lines of several threads do not mix.  Nowhere to report a failure. */
	if (write(kmsg_fd >= 0 ? kmsg_fd : STDERR_FILENO, line, len) < 0)
		errno = 0;
	errno = saved;
}

#define LIMIT_LINES     10
#define LIMIT_WINDOW_US 60000000

/* Called by the loop thread and by workers; a lost count there only costs a line. */
bool log_limit_pass(struct log_limit *limit, const char *component)
{
	uint64_t now = clock_mono_us();

	if (now - limit->window_us >= LIMIT_WINDOW_US || !limit->window_us) {
		if (limit->dropped)
			log_warn(component, "left out lines=%u", limit->dropped);
		*limit = (struct log_limit){.window_us = now};
	}
	if (limit->lines++ < LIMIT_LINES)
		return true;
	limit->dropped++;
	return false;
}
