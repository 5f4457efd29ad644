/* proc/exec.c - proc.exec: run a command and stream it */
#include "guestd/method.h"
#include "guestd/req.h"
#include "proc/exec.h"

static const struct arg exec_table[] = {
	ARG_INCLUDE(struct exec_args, spec, spec_table),
	ARG_INCLUDE(struct exec_args, view, view_table),
	ARG_END,
};

const struct arg view_table[] = {
	ARG(struct view_args, stall_ms, .dflt = 30000, .max = 86400000),
	ARG_END,
};

static const struct viewer_kind exec_kind = {.greet = viewer_greet_started, .stops = true};

void exec_call(struct req *req, const struct exec_args *args)
{
	const struct spec *spec = &args->spec;
	struct process *p = spec->id ? process_find(spec->id) : NULL;
	double stall_s = (double)args->view.stall_ms / 1000;
	bool known = p != NULL;
	struct failure failure;
	struct viewer *v;

	if (spec_check(spec, &failure) ||
		(!p && !(p = process_new(req_take_params(req), spec, &failure)))) {
		req_fail_with(req, &failure);
		return;
	}
	v = viewer_open(req, p, &exec_kind);
	follower_set_stall(&v->f, stall_s);
	if (known) {
		for (int i = 0; i < 2; i++)
			v->lost_at_start[i] = v->f.position[i];
		viewer_begin(v);
	} else {
		process_set_starter(p, req->conn);
		process_start(p);
	}
}

static void call(struct req *req, void *args)
{
	exec_call(req, args);
}

METHOD(proc_exec) = {
	.name = "proc.exec",
	.doc = "Runs a command: output as it comes, input as it is sent, the exit at the end.",
	.args = exec_table,
	.args_size = sizeof(struct exec_args),
	.call = call,
	.secret = true,
	.streams = true,
	.writes = true,
};
