/*
 * proc/terminate.c - TERM, grace, KILL, for a process and all that came of it
 *
 * The pid of a child is its own until it is reaped (child.h), as process, group and session;
 * the others are held by pidfds (tree.h).
 */
#include <signal.h>

#include "guestd/loop.h"
#include "proc/process_impl.h"

/* While a tree is being stopped, how often we look who is left of it. */
#define CHECK_S 0.02

/*
 * The leader made its group before anything else, but it may not have come so far.  Until it
 * is reaped its pid is nobody else's, as process or as group (child.h).
 */
static void signal_group(struct process *p, int number)
{
	if (p->child.pid && kill(-p->child.pid, number) < 0)
		kill(p->child.pid, number);
}

/* The last look while the leader's pid, group and session are surely its own. */
static void on_exiting(struct child *child)
{
	struct process *p = CONTAINER_OF(child, struct process, child);

	if (p->killing)
		signal_group(p, SIGKILL);
	tree_update(&p->tree, child->pid);
}

/* All of it is dead: those who wait for that hear it, whatever output others have yet to take. */
void stop_check(struct process *p)
{
	if (!p->stopping || p->stopped || p->state < PROCESS_EXITED || tree_prune(&p->tree))
		return;
	p->stopped = true;
	ev_timer_stop(loop_ev(), &p->check);
	ev_timer_stop(loop_ev(), &p->grace);
	EACH_FOLLOWER(p, f, stopped);
	process_check_ended(p);
}

/* While it is stopping: who is left? */
static void on_check(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct process *p = CONTAINER_OF(w, struct process, check);

	(void)ev, (void)revents;
	if (p->killing) {
		tree_update(&p->tree, p->child.pid);
		tree_signal(&p->tree, SIGKILL, true);
	}
	tree_prune(&p->tree);
	stop_check(p);
}

static void on_grace(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct process *p = CONTAINER_OF(w, struct process, grace);

	(void)revents;
	p->killing = true;
	signal_group(p, SIGKILL);
	on_check(ev, &p->check, 0);
}

void process_stop(struct process *p)
{
	if (p->stopping || p->state == PROCESS_ENDED)
		return;
	p->stopping = true;
	if (p->state == PROCESS_WAITING) {
		launch_give_up(p);
		return;
	}
	if (p->child.pid)
		child_watch_exit(&p->child, on_exiting);
	tree_update(&p->tree, p->child.pid);
	signal_group(p, SIGTERM);
	tree_signal(&p->tree, SIGTERM, !p->child.pid);
	signal_group(p, SIGCONT); /* one that was stopped could not hear it */
	tree_signal(&p->tree, SIGCONT, !p->child.pid);
	p->check.repeat = CHECK_S;
	ev_timer_again(loop_ev(), &p->check);
	ev_timer_init(&p->grace, on_grace, (ev_tstamp)p->spec->grace_ms / 1000, 0);
	ev_timer_start(loop_ev(), &p->grace);
	stop_check(p); /* the leader may be gone, and with nobody left */
}

static void on_timeout(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct process *p = CONTAINER_OF(w, struct process, timeout);

	(void)ev, (void)revents;
	p->exit.timed_out = true;
	process_stop(p);
}

void stop_init(struct process *p)
{
	ev_init(&p->timeout, on_timeout);
	ev_init(&p->grace, on_grace);
	ev_init(&p->check, on_check);
}

void stop_arm_timeout(struct process *p)
{
	if (!p->spec->timeout_ms)
		return;
	ev_timer_set(&p->timeout, (ev_tstamp)p->spec->timeout_ms / 1000, 0);
	ev_timer_start(loop_ev(), &p->timeout);
}

void stop_fini(struct process *p)
{
	ev_timer_stop(loop_ev(), &p->timeout);
	ev_timer_stop(loop_ev(), &p->grace);
	ev_timer_stop(loop_ev(), &p->check);
}
