/* ctl/ended.c - how a process ended: an Exit of the agent */
#include "ctl/ended.h"

#include <inttypes.h>

#include "ctl/report.h"
#include "ctl/text.h"

static bool flag(const struct val *ended, const char *name)
{
	bool set;

	return val_bool(val_get(ended, name), &set) && set;
}

int ended_status(const struct ctl *ctl, const struct val *ended)
{
	int64_t n;

	if (flag(ended, "timed_out"))
		report_note(ctl, "stopped: the timeout was reached");
	if (flag(ended, "oom_killed"))
		report_note(ctl, "killed: there was no memory left for it");
	if (val_int(val_get(ended, "code"), &n))
		return (int)n & 0xff;
	if (val_int(val_get(ended, "signal"), &n))
		return STATUS_SIGNALED + (int)n;
	return ctl_fail(ctl, "the agent did not say how the process ended");
}

void ended_print(FILE *f, const struct val *ended)
{
	const struct val *name = val_get(ended, "signal_name");
	int64_t n;

	if (val_int(val_get(ended, "code"), &n)) {
		fprintf(f, "exited with status %" PRId64, n);
	} else if (name) {
		fprintf(f, "killed by ");
		text_val(f, name);
	} else if (val_int(val_get(ended, "signal"), &n)) {
		fprintf(f, "killed by signal %" PRId64, n);
	} else {
		fprintf(f, "ended");
	}
	if (flag(ended, "timed_out"))
		fprintf(f, ", timeout");
	if (flag(ended, "oom_killed"))
		fprintf(f, ", out of memory");
	if (flag(ended, "core"))
		fprintf(f, ", core dumped");
}
