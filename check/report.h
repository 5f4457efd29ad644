/*
 * check/report.h - the lines of `guestd --check`: "ok|warn|fail NAME: what — how to mend"
 *
 * fail: the agent cannot start or be reached, or whole methods do not work.  warn: something works
 * less well, or ought not to be as it is.
 *
 * Thread: the only one there is; no loop runs.
 */
#ifndef CHECK_REPORT_H
#define CHECK_REPORT_H

#include "base/check.h"

void say_ok(const char *fmt, ...) PRINTF(1, 2);
void say_warn(const char *mend, const char *fmt, ...) PRINTF(2, 3);
void say_fail(const char *mend, const char *fmt, ...) PRINTF(2, 3);

#endif
