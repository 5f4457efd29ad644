/*
 * proc/boot.h - the command that the guest was booted for (`start` in config.h)
 *
 * A process like any other, with the id "start".  It is started once a boot: an agent that comes after
 * another one finds it, or, where it has ended, run-dir/started with the kernel's boot id.  A clone
 * or a restored guest has both, and the process, from its original.
 *
 * Thread: loop.
 */
#ifndef PROC_BOOT_H
#define PROC_BOOT_H

/* Before the listeners open, behind found_start.  What goes wrong is logged: the agent serves on. */
void boot_start(void);

#endif
