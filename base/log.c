/* base/log.c - one line an event */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

/* The kernel cuts a record of /dev/kmsg at about 1 KiB. */
#define LINE_MAX_BYTES LOG_LINE_MAX

/* What is kept. */
#define LOG_LINES 1024u
#define LOG_BYTES (256u << 10)

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

/* The text of a line lies at OFFSET modulo LOG_BYTES, over the edge perhaps. */
struct kept {
	uint64_t time_us, offset;
	uint16_t len;
	uint8_t level;
	bool audit;
};

/* Outside of what is initialised: they would be in the program's file. */
static struct kept lines[LOG_LINES];
static char bytes[LOG_BYTES];

static struct {
	pthread_mutex_t mutex;
	uint64_t first, next; /* kept are those of [first, next) */
	uint64_t head;        /* where the next text goes */
} ring = {.mutex = PTHREAD_MUTEX_INITIALIZER, .first = 1, .next = 1};

static _Atomic(void (*)(void)) listener;

static void copy_in(uint64_t offset, const char *text, size_t len)
{
	size_t at = offset % LOG_BYTES, n = MIN(len, LOG_BYTES - at);

	memcpy(bytes + at, text, n);
	memcpy(bytes, text + n, len - n);
}

static void copy_out(uint64_t offset, char *text, size_t len)
{
	size_t at = offset % LOG_BYTES, n = MIN(len, LOG_BYTES - at);

	memcpy(text, bytes + at, n);
	memcpy(text + n, bytes, len - n);
}

static void keep(enum log_level level, bool audit, const char *text, size_t len)
{
	void (*fn)(void);

	len = MIN(len, LOG_LINE_MAX);
	pthread_mutex_lock(&ring.mutex);
	while (ring.first < ring.next &&
		(ring.next - ring.first == LOG_LINES ||
			ring.head + len - lines[ring.first % LOG_LINES].offset > LOG_BYTES))
		ring.first++;
	lines[ring.next % LOG_LINES] = (struct kept){
		.time_us = clock_real_us(),
		.offset = ring.head,
		.len = (uint16_t)len,
		.level = (uint8_t)level,
		.audit = audit,
	};
	copy_in(ring.head, text, len);
	ring.head += len;
	ring.next++;
	pthread_mutex_unlock(&ring.mutex);
	fn = atomic_load(&listener);
	if (fn)
		fn();
}

uint64_t log_next_seq(void)
{
	uint64_t next;

	pthread_mutex_lock(&ring.mutex);
	next = ring.next;
	pthread_mutex_unlock(&ring.mutex);
	return next;
}

bool log_read(uint64_t seq, struct log_record *out)
{
	const struct kept *line;
	bool found;

	pthread_mutex_lock(&ring.mutex);
	seq = MAX(seq, ring.first);
	found = seq < ring.next;
	if (found) {
		line = &lines[seq % LOG_LINES];
		out->seq = seq;
		out->time_us = line->time_us;
		out->level = (enum log_level)line->level;
		out->audit = line->audit;
		copy_out(line->offset, out->text, line->len);
		out->text[line->len] = '\0';
	}
	pthread_mutex_unlock(&ring.mutex);
	return found;
}

void log_set_listener(void (*fn)(void))
{
	atomic_store(&listener, fn);
}

void log_audit(const char *text)
{
	int saved = errno;

	keep(LOG_INFO, true, text, strlen(text));
	errno = saved;
}

const char *log_level_name(enum log_level level)
{
	return levels[level].name;
}

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
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	fd_close(&kmsg_fd);
	kmsg_fd = fd;
}

void log_line(enum log_level level, const char *component, const char *fmt, ...)
{
	int saved = errno;
	char line[LINE_MAX_BYTES + 1];
	size_t len, head;
	int n = 0;
	va_list ap;

	if (level > threshold)
		return;
	if (kmsg_fd >= 0)
		n = snprintf(line, sizeof(line), "<%d>", levels[level].kmsg);
	n += snprintf(line + n, sizeof(line) - (size_t)n, "guestd: %s ", levels[level].name);
	head = (size_t)n;
	n += snprintf(line + n, sizeof(line) - (size_t)n, "%s: ", component);
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
	va_end(ap);
	len = strlen(line);
	if (len == LINE_MAX_BYTES)
		len--;
	keep(level, false, line + head, len - head);
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
