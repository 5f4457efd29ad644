/*
 * init/init.c - the guest's first process: everything that a distribution's init would have done
 *
 * Runs before any other part of the agent when it is PID 1.  It starts no process, waits for
 * nothing, and has no error to return: PID 1 that gives up is a kernel panic, so each step does
 * what it can and logs what it cannot.  Reaping belongs to the event loop.
 */
#include <unistd.h>

#include "base/log.h"
#include "guestd/area.h"
#include "guestd/config.h"
#include "init/early.h"
#include "init/end.h"
#include "init/modules.h"
#include "init/mounts.h"
#include "init/root.h"
#include "init/setup.h"
#include "init/tune.h"

static void init_pid1(void)
{
	mounts_dev();
	/* Before anything opens a file that it keeps. */
	early_fds();
	log_to_kmsg();
	early_process();
	mounts_all();
	tune_log(true);
	modules_load();
	config_read_init();
	root_keep_program();
	if (config()->root) {
		root_change();
		config_read_root();
	}
	tune_kernel();
	tune_hostname();
	tune_loopback();
	setup_mounts();
	setup_net();
	tune_log(false);
}

/* Beside an init that is not ours, only who insisted on it. */
static void init_stop(void)
{
	if (end_is_planned() && getpid() != 1)
		end_machine();
}

AREA(init) = {.name = "init", .pid1 = init_pid1, .pid1_end = end_machine, .stop = init_stop};
