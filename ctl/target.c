/* ctl/target.c - the process that an argument means */
#include "ctl/target.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "ctl/parse.h"
#include "ctl/report.h"
#include "ctl/text.h"

int target_parse(const struct ctl *ctl, int argc, char **argv, bool labels, struct target *target)
{
	*target = (struct target){.labels = labels};
	if (optind == argc)
		return ctl_usage(ctl, "which process? guestctl ps lists them");
	if (optind + 1 < argc)
		return ctl_usage(ctl, "unexpected argument %s", argv[optind + 1]);
	target->name = argv[optind];
	return 0;
}

static bool pid(const struct target *target, uint64_t *number)
{
	return parse_uint(target->name, INT32_MAX, number);
}

void target_encode(const struct target *target, struct enc *e)
{
	uint64_t number;

	if (target->by == TARGET_PID && pid(target, &number))
		enc_kv_uint(e, "pid", number);
	else
		enc_kv_text(e, target->by == TARGET_LABEL ? "label" : "id", target->name);
}

void target_encode_signal(const char *name, struct enc *e)
{
	uint64_t number;

	if (parse_uint(name, INT32_MAX, &number))
		enc_kv_uint(e, "signal", number);
	else
		enc_kv_text(e, "signal", name);
}

bool target_unknown(const struct val *error)
{
	return text_is(val_get(error, "code"), "not_found");
}

bool target_next(struct target *target)
{
	uint64_t number;

	if (target->by != TARGET_ID)
		return false;
	if (pid(target, &number))
		target->by = TARGET_PID;
	else if (target->labels)
		target->by = TARGET_LABEL;
	return target->by != TARGET_ID;
}

int target_fail(const struct ctl *ctl, const struct target *target)
{
	char message[256];

	snprintf(message, sizeof(message),
		"no process of the agent is called %s; guestctl ps lists them", target->name);
	return report(ctl, STATUS_FAILED, "not_found", message);
}
