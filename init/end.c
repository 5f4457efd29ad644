/*
 * init/end.c - the end of a guest
 *
 * reboot(2) flushes nothing, and power-off is only a halt where the machine has no ACPI: then
 * a restart is what makes the VMM end (Firecracker).
 */
#include "init/end.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "init/unmount.h"

/* How often we look whether all have ended. */
#define LOOK_MS 10

/* What has been killed goes at once, unless it hangs in the kernel for good. */
#define KILLED_MS 2000

static struct {
	bool planned;
	enum end_mode mode;
	uint64_t grace_ms;
} plan = {.grace_ms = END_GRACE_MS};

void end_plan(enum end_mode mode, uint64_t grace_ms)
{
	plan.planned = true;
	plan.mode = mode;
	plan.grace_ms = grace_ms;
}

bool end_is_planned(void)
{
	return plan.planned;
}

/* Until nobody is left, MS at most.  Orphans are children of PID 1, so no child means nobody. */
static void wait_for_all(uint64_t ms)
{
	uint64_t until = clock_mono_us() + 1000 * ms;

	while (clock_mono_us() < until) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0 && errno == ECHILD)
			return;
		if (pid == 0)
			(void)poll(NULL, 0, LOOK_MS);
	}
}

void end_wait_for_children(void)
{
	while (waitpid(-1, NULL, 0) > 0 || errno != ECHILD)
		;
}

static void end_all(void)
{
	/* Shells at a prompt pass over it: they have been hung up on, with the agent's terminals. */
	kill(-1, SIGTERM);
	kill(-1, SIGCONT);
	wait_for_all(plan.grace_ms);
	kill(-1, SIGKILL);
	wait_for_all(KILLED_MS);
}

/*
 * The first namespace of processes has this number (PROC_PID_INIT_INO in the kernel's proc_ns.h).  In
 * any other one we are process 1 of a container: its mounts go with it, and the file systems behind
 * them, which a read-only remount would be for, are somebody else's.
 */
static bool in_container(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) == 0 && st.st_ino != 0xEFFFFFFCu;
}

void end_machine(void)
{
	static const char *const names[] = {"power-off", "reboot", "halt"};
	bool acpi = access("/sys/firmware/acpi", F_OK) == 0;

	log_info("init", "ending the machine mode=%s", names[plan.mode]);
	end_all();
	sync();
	if (!in_container())
		unmount_all();
	sync();
	if (plan.mode == END_HALT)
		reboot(RB_HALT_SYSTEM);
	if (plan.mode == END_POWEROFF && acpi)
		reboot(RB_POWER_OFF);
	reboot(RB_AUTOBOOT);
	reboot(RB_POWER_OFF);
}
