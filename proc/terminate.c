/*
 * proc/terminate.c - signals, and the end of a process with all that came of it
 *
 * The pid of a child is its own until it is reaped (child.h), as process, group and session.
 * Whoever else belongs to it is found in its cgroup; where there is none, by a walk of /proc
 * (tree.h).  Either way they are held by pidfds before they get a signal.
 */
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "guestd/loop.h"
#include "proc/cgroup.h"
#include "proc/found.h"
#include "proc/process_impl.h"
#include "proc/record.h"

/* While a tree is being stopped, how often we look who is left of it. */
#define CHECK_S 0.02

static bool is_in_cgroup(pid_t pid, void *ctx)
{
	return cgroup_owner_of(pid) == ctx;
}

struct collecting {
	struct process *p;
	struct tree *tree;
};

static bool collect(pid_t pid, void *ctx)
{
	struct collecting *c = ctx;

	tree_add(c->tree, pid, c->p->child.pid, is_in_cgroup, c->p);
	return true;
}

/* Adds to TREE whoever belongs to P now. */
static void find_members(struct process *p, struct tree *tree)
{
	struct collecting c = {p, tree};

	if (p->cgroup)
		cgroup_each_pid(p->cgroup, collect, &c);
	else
		tree_update(tree, p->child.pid);
}

/* Is its pid nobody else's?  Of a found one it is not for us to say when that ends (found.h). */
static bool is_there(const struct process *p)
{
	return p->child.pid && (!p->found || found_is_alive(p->found));
}

/*
 * The leader made its group before anything else, but it may not have come so far.  Until it
 * is reaped its pid is nobody else's, as process or as group (child.h).
 */
static void signal_group(struct process *p, int number)
{
	if (is_there(p) && kill(-p->child.pid, number) < 0)
		kill(p->child.pid, number);
}

/* The group at once, so that none of it can fork itself out of the way, then the others. */
static void signal_members(struct process *p, int number)
{
	signal_group(p, number);
	tree_signal(&p->tree, number, !p->child.pid);
}

static void kill_all(struct process *p)
{
	if (p->cgroup) {
		cgroup_kill(p->cgroup);
		return;
	}
	find_members(p, &p->tree);
	signal_members(p, SIGKILL);
}

size_t process_signal(struct process *p, int number, enum signal_scope scope)
{
	struct tree tree = {0};
	size_t n = 0;

	if (scope == SCOPE_LEADER)
		return is_there(p) && kill(p->child.pid, number) == 0;
	find_members(p, &tree);
	for (size_t i = 0; i < tree.n; i++)
		n += tree.at[i].in_group;
	if (scope == SCOPE_TREE)
		n = tree.n;
	signal_group(p, number);
	if (scope == SCOPE_TREE)
		tree_signal(&tree, number, !p->child.pid);
	tree_fini(&tree);
	return MAX(n, p->child.pid != 0);
}

bool process_is_alive(struct process *p)
{
	if (p->child.pid || p->state == PROCESS_WAITING)
		return true;
	return p->cgroup ? cgroup_populated(p->cgroup) : tree_prune(&p->tree) > 0;
}

/* The last look while the leader's pid, group and session are surely its own. */
static void on_exiting(struct child *child)
{
	struct process *p = CONTAINER_OF(child, struct process, child);

	if (p->killing)
		signal_group(p, SIGKILL);
	tree_update(&p->tree, child->pid);
}

void stop_note_leftovers(struct process *p)
{
	if (p->cgroup && cgroup_populated(p->cgroup)) {
		cgroup_watch(p->cgroup);
		record_write(p); /* how it ended */
	} else if (p->cgroup) {
		process_leave_cgroup(p);
	} else if (!p->stopping && !(p->out[0].source.eof && p->out[1].source.eof)) {
		/*
		 * Somebody else holds its output: whom a stop would have to find.  The session
		 * that the leader made keeps its number taken as long as they are in it.
		 */
		tree_update(&p->tree, p->pid);
	}
}

/* All of it is dead: those who wait for that hear it, whatever output others have yet to take. */
void stop_check(struct process *p)
{
	if (!p->stopping || p->stopped || p->state < PROCESS_EXITED || process_is_alive(p))
		return;
	p->stopped = true;
	ev_timer_stop(loop_ev(), &p->check);
	ev_timer_stop(loop_ev(), &p->grace);
	tree_fini(&p->tree);
	EACH_FOLLOWER(p, f, stopped);
	process_check_ended(p);
}

/* While it is stopping: who is left? */
static void on_check(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct process *p = CONTAINER_OF(w, struct process, check);

	(void)ev, (void)revents;
	if (p->killing)
		kill_all(p);
	stop_check(p);
}

static void on_grace(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct process *p = CONTAINER_OF(w, struct process, grace);

	(void)revents;
	p->killing = true;
	on_check(ev, &p->check, 0);
}

void process_stop(struct process *p, int number, uint64_t grace_ms)
{
	ev_tstamp kill_at = loop_now() + (ev_tstamp)grace_ms / 1000;

	if (p->stopped || (p->state == PROCESS_ENDED && !process_is_alive(p)))
		return;
	if (p->state == PROCESS_WAITING) {
		p->stopping = true;
		launch_give_up(p);
		return;
	}
	if (p->child.pid && !p->cgroup)
		child_watch_exit(&p->child, on_exiting);
	if (p->cgroup && p->child.pid)
		cgroup_watch(p->cgroup);
	find_members(p, &p->tree);
	signal_members(p, number);
	/* A shell at its prompt ignores TERM; what it obeys is the end of its terminal. */
	if (p->spec->pty.given && number == SIGTERM)
		signal_members(p, SIGHUP);
	signal_members(p, SIGCONT); /* one that was stopped could not hear it */
	if (p->stopping && kill_at >= p->kill_at)
		return;
	p->stopping = true;
	p->kill_at = kill_at;
	p->check.repeat = CHECK_S;
	ev_timer_again(loop_ev(), &p->check);
	ev_timer_stop(loop_ev(), &p->grace);
	ev_timer_set(&p->grace, (ev_tstamp)grace_ms / 1000, 0);
	ev_timer_start(loop_ev(), &p->grace);
	stop_check(p); /* the leader may be gone, and with nobody left */
}

static void on_timeout(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct process *p = CONTAINER_OF(w, struct process, timeout);

	(void)ev, (void)revents;
	p->exit.timed_out = true;
	process_stop(p, SIGTERM, p->spec->grace_ms);
}

void stop_init(struct process *p)
{
	ev_init(&p->timeout, on_timeout);
	ev_init(&p->grace, on_grace);
	ev_init(&p->check, on_check);
}

void stop_arm_timeout(struct process *p)
{
	ev_tstamp ran = (ev_tstamp)(clock_mono_us() - p->started_mono_us) / 1000000;

	if (!p->spec->timeout_ms)
		return;
	/* A timer counts from the beginning of the turn. */
	ev_timer_set(&p->timeout,
		loop_turn_age() + MAX((ev_tstamp)p->spec->timeout_ms / 1000 - ran, 0), 0);
	ev_timer_start(loop_ev(), &p->timeout);
}

void stop_fini(struct process *p)
{
	ev_timer_stop(loop_ev(), &p->timeout);
	ev_timer_stop(loop_ev(), &p->grace);
	ev_timer_stop(loop_ev(), &p->check);
}
