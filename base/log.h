/*
 * base/log.h - one line an event: `guestd: warn conn: message key=value`
 *
 * To stderr, or to /dev/kmsg when the agent is PID 1.  Never log what a client sent as a
 * value: environment, arguments after argv[0], file contents.  What a peer can cause often
 * goes through log_limited.
 *
 * Thread: any.  Keeps errno.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_line(enum log_level level, const char *component, const char *fmt, ...) PRINTF(3, 4);

#define log_error(component, ...) log_line(LOG_ERROR, component, __VA_ARGS__)
#define log_warn(component, ...)  log_line(LOG_WARN, component, __VA_ARGS__)
#define log_info(component, ...)  log_line(LOG_INFO, component, __VA_ARGS__)
#define log_debug(component, ...) log_line(LOG_DEBUG, component, __VA_ARGS__)

/* At most ten lines a minute from one place; how many were left out is said with the next. */
struct log_limit {
	uint64_t window_us;
	unsigned lines, dropped;
};

bool log_limit_pass(struct log_limit *limit, const char *component);

#define log_limited(level, component, ...)                                                         \
	do {                                                                                       \
		static struct log_limit limit_;                                                    \
		if (log_limit_pass(&limit_, component))                                            \
			log_line(level, component, __VA_ARGS__);                                   \
	} while (0)

/* A line of who changed what: into the ring alone.  TEXT holds no control characters. */
void log_audit(const char *text);

/*
 * The last lines, LOG_LINES and LOG_BYTES of them at most; each has a seq, from 1 on, without holes.
 * They are those that were written, and those of log_audit.
 */
#define LOG_LINE_MAX 900

struct log_record {
	uint64_t seq, time_us;
	enum log_level level;
	bool audit;
	char text[LOG_LINE_MAX + 1]; /* "component: message" */
};

/* The seq that the next line will have. */
uint64_t log_next_seq(void);

/* Line SEQ, or the oldest that is kept behind it; false: none is there yet. */
bool log_read(uint64_t seq, struct log_record *out);

/* FN is called, in any thread, when there is a new line; it must not log.  NULL: nobody listens. */
void log_set_listener(void (*fn)(void));

/* Lines above LEVEL are not written.  The default is LOG_INFO. */
void log_set_level(enum log_level level);

/* "error", "warn", "info" or "debug". */
const char *log_level_name(enum log_level level);

/* False for a name that is none of error, warn, info, debug. */
bool log_level_parse(const char *name, enum log_level *level);

/*
 * From now on to /dev/kmsg, where it can be opened; through a descriptor of our own, also after a
 * fork.  While there is one thread.
 */
void log_to_kmsg(void);

#endif
