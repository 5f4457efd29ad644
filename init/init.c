/*
 * init/init.c - the guest's first process: everything that a distribution's init would have done
 *
 * Runs before any other part of the agent when it is PID 1.  It starts no process, waits for
 * nothing, and has no error to return: PID 1 that gives up is a kernel panic, so each step does
 * what it can and logs what it cannot.  The agent is forked when all is set up.
 */
#include "guestd/area.h"

#include "base/log.h"
#include "guestd/config.h"
#include "guestd/end.h"
#include "guestd/identity.h"
#include "init/control.h"
#include "init/early.h"
#include "init/end.h"
#include "init/modules.h"
#include "init/mounts.h"
#include "init/nodes.h"
#include "init/supervise.h"
#include "init/tune.h"

static void init_pid1(void)
{
	bool devtmpfs = mounts_dev();

	if (!devtmpfs)
		nodes_make("/dev"); /* the console, for one */
	/* Before anything opens a file that it keeps. */
	early_fds();
	log_to_kmsg();
	early_process();
	mounts_all();
	modules_load();
	if (!devtmpfs) /* with those of drivers */
		nodes_make("/dev");
	tune_kernel();
	tune_loopback();
}

/* The configuration is known, and the tree of mounts is what it stays. */
static void init_pid1_run(int (*agent)(void), char **argv)
{
	mounts_share();
	supervise(agent, argv);
}

static void on_end(void)
{
	agent_end("the machine ends");
}

static int init_start(void)
{
	if (control_is_there())
		identity_set_console(config()->console);
	return control_start(on_end);
}

static void init_stop(void)
{
	control_stop();
	if (control_machine_ends()) {
		control_done();
		end_wait_for_children();
	}
	/* Beside an init that is not ours, only who insisted on it. */
	if (end_is_planned())
		end_machine();
}

AREA(init) = {
	.name = "init",
	.pid1 = init_pid1,
	.pid1_run = init_pid1_run,
	.start = init_start,
	.stop = init_stop,
};
