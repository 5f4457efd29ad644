/* proc/signal.c - proc.signal: a signal to a process, its group, or all that it started */
#include <errno.h>
#include <unistd.h>

#include "guestd/method.h"
#include "guestd/req.h"
#include "proc/target.h"

static const char *const scopes[] = {
	[SCOPE_LEADER] = "leader", [SCOPE_GROUP] = "group", [SCOPE_TREE] = "tree", NULL};

struct signal_args {
	struct target target;
	const char *signal;
	unsigned scope;
	bool foreign;
};

static const struct arg signal_table[] = {
	ARG_INCLUDE(struct signal_args, target, target_table),
	ARG(struct signal_args, signal, .required = true, .check = signal_check, .or_number = true),
	ARG(struct signal_args, scope, .choices = scopes, .dflt = SCOPE_GROUP),
	ARG(struct signal_args, foreign),
	ARG_END,
};

static bool is_not_us(pid_t pid, void *ctx)
{
	(void)ctx;
	return pid != getpid();
}

static void reply(struct req *req, size_t n)
{
	struct enc e;

	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 1);
	enc_kv_uint(&e, "signaled", n);
	req_reply_end(req, &e);
}

/* A process that somebody else started, and who came of it or is in its group; not ourselves. */
static void signal_foreign(struct req *req, pid_t pid, int number, enum signal_scope scope)
{
	struct tree tree = {0};
	struct tree_stat s;
	size_t found, n;

	tree_add(&tree, pid, 0, is_not_us, NULL);
	if (tree.n && scope == SCOPE_TREE)
		tree_update(&tree, 0);
	else if (tree.n && scope == SCOPE_GROUP && tree_stat(pid, &s))
		tree_add_group(&tree, s.pgrp, is_not_us, NULL);
	found = tree.n;
	n = tree_signal(&tree, number, true);
	tree_fini(&tree);
	if (n)
		reply(req, n);
	else if (pid == getpid())
		req_fail(req, -EPERM, "%d is the agent itself", (int)pid);
	else if (found)
		req_fail(req, -EPERM, "the agent may not signal %d", (int)pid);
	else
		req_fail(req, ERR_NOT_FOUND, "no process has the pid %d", (int)pid);
}

static void signal_call(struct req *req, void *args)
{
	const struct signal_args *a = args;
	int number = signal_number(a->signal);
	struct failure f;
	struct process *p = target_find(&a->target, &f);
	size_t n;

	if (!p && f.err == ERR_NOT_FOUND && a->foreign && a->target.pid) {
		signal_foreign(req, (pid_t)a->target.pid, number, a->scope);
		return;
	}
	if (!p) {
		req_fail_with(req, &f);
		return;
	}
	n = p->state >= PROCESS_RUNNING ? process_signal(p, number, a->scope) : 0;
	if (n)
		reply(req, n);
	else
		req_fail(req, ERR_NOT_FOUND, "%s has exited", p->id);
}

METHOD(proc_signal) = {
	.name = "proc.signal",
	.doc = "Sends a signal to a process, its group or all that it started.",
	.args = signal_table,
	.args_size = sizeof(struct signal_args),
	.call = signal_call,
	.changes = true,
};
