/* snapshot/freeze.c - system.freeze: everything stands still, for a snapshot */
#include "guestd/method.h"
#include "snapshot/freezer.h"

static const struct arg freeze_table[] = {
	ARG(struct freeze_plan, processes, .dflt = true),
	ARG(struct freeze_plan, filesystems),
	ARG(struct freeze_plan, timeout_ms, .dflt = 60000, .min = 1, .max = 3600000),
	ARG_END,
};

static void freeze_call(struct req *req, void *args)
{
	freezer_freeze(req, args);
}

METHOD(system_freeze) = {
	.name = "system.freeze",
	.doc = "Freezes processes and file systems for a snapshot; thaws by itself after a time.",
	.args = freeze_table,
	.args_size = sizeof(struct freeze_plan),
	.call = freeze_call,
	.changes = true,
};
