/* proc/target.c - which process a call means */
#include "proc/target.h"

#include <stdio.h>

const struct arg target_table[] = {
	ARG(struct target, id),
	ARG(struct target, pid, .min = 1, .max = INT32_MAX),
	ARG(struct target, label),
	ARG_END,
};

const struct arg target_one_table[] = {
	ARG(struct target, id),
	ARG(struct target, pid, .min = 1, .max = INT32_MAX),
	ARG_END,
};

int target_check(const struct target *t, struct failure *f)
{
	if (!!t->id + !!t->pid + !!t->label == 1)
		return 0;
	return failure_set(f, ERR_BAD_PARAMS, NULL, NULL, "give exactly one of id, pid and label");
}

struct process *target_find(const struct target *t, struct failure *f)
{
	struct process *p;
	char pid[24];

	if (target_check(t, f))
		return NULL;
	snprintf(pid, sizeof(pid), "%llu", (unsigned long long)t->pid);
	p = t->id      ? process_find(t->id)
	    : t->label ? process_find_label(t->label)
		       : process_find_pid((pid_t)t->pid);
	if (!p)
		failure_set(f, ERR_NOT_FOUND, NULL, NULL, "no process has the %s %s",
			t->id      ? "id"
			: t->label ? "label"
				   : "pid",
			t->id      ? t->id
			: t->label ? t->label
				   : pid);
	return p;
}
