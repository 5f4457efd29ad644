/* init/shutdown.c - system.shutdown: the end of the guest, in order */
#include <string.h>

#include "guestd/end.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "init/control.h"
#include "init/end.h"
#include "proto/limits.h"

struct shutdown_args {
	unsigned mode;
	uint64_t grace_ms;
	bool force;
};

static const char *const modes[] = {"poweroff", "reboot", "halt", NULL}; /* as enum end_mode */

static const struct arg shutdown_table[] = {
	ARG(struct shutdown_args, mode, .required = true, .choices = modes),
	ARG(struct shutdown_args, grace_ms, .dflt = 5000, .max = 600000),
	ARG(struct shutdown_args, force),
	ARG_END,
};

static void shutdown_call(struct req *req, void *args)
{
	const struct shutdown_args *a = args;
	struct control_plan plan = {(enum end_mode)a->mode, a->grace_ms};
	struct enc e;
	int err = 0;

	if (!agent_is_init() && !a->force) {
		req_fail(req, ERR_UNSUPPORTED,
			"the agent is not the guest's init: ask that one, or say force");
		return;
	}
	if (agent_is_init())
		err = control_ask_end(&plan);
	else
		end_plan(plan.mode, plan.grace_ms);
	if (err) {
		req_fail(req, err, "cannot tell process 1: %s", strerror(-err));
		return;
	}
	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 0);
	req_reply_end(req, &e);
	agent_end("the guest is shut down");
}

METHOD(system_shutdown) = {
	.name = "system.shutdown",
	.doc = "Ends all processes, unmounts, and switches the guest off.",
	.args = shutdown_table,
	.args_size = sizeof(struct shutdown_args),
	.call = shutdown_call,
	.changes = true,
};
