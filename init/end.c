/*
 * init/end.c - the end of a guest whose PID 1 the agent is
 *
 * reboot(2) flushes nothing, and power-off is only a halt where the machine has no ACPI: then
 * a restart is what makes the VMM end (Firecracker).
 */
#include "init/end.h"

#include <signal.h>
#include <sys/reboot.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/log.h"

#define GRACE_S 1

void end_machine(void)
{
	log_info("init", "switching off");
	kill(-1, SIGTERM);
	sleep(GRACE_S);
	kill(-1, SIGKILL);
	sync();
	if (access("/sys/firmware/acpi", F_OK) == 0)
		reboot(RB_POWER_OFF);
	reboot(RB_AUTOBOOT);
	reboot(RB_POWER_OFF);
}
