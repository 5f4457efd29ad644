/*
 * ctl/report.h - errors on stderr: a line for people, an object with --json
 */
#ifndef CTL_REPORT_H
#define CTL_REPORT_H

#include "ctl/command.h"

/* Says MESSAGE under CODE; returns STATUS. */
int report(const struct ctl *ctl, int status, const char *code, const char *message);

/* A remark that changes nothing: "guestctl: exec: …".  Left out with --json. */
void report_note(const struct ctl *ctl, const char *fmt, ...) PRINTF(2, 3);

/* A `gap` event: bytes that the agent no longer had for us. */
void report_gap(const struct ctl *ctl, const struct val *event);

/*
 * What a walk through the guest could not look at: the items of RESULT's `skipped`.  STATUS_OK, or
 * STATUS_FAILED where there are any.  With --json they are in the result already.
 */
int report_skipped(const struct ctl *ctl, const struct val *result);

#endif
