/*
 * check/checks.h - what is looked at
 *
 * Each says at least one line (report.h).  None changes anything, and none opens a vsock: to look must
 * be safe in any guest, also beside an agent that runs.
 */
#ifndef CHECK_CHECKS_H
#define CHECK_CHECKS_H

/* settings.c: what the agent was told, and whether the guest has it */
void check_config(void);
void check_token(void);
void check_run_dir(void);
void check_user(void);
void check_shell(void);
void check_console(void);

/* devices.c: how the host gets in */
void check_vsock(void);
void check_serial(void);
void check_random(void);
void check_modules(void);

/* kernel.c: what the kernel has, and how much of it */
void check_kernel(void);
void check_cgroup(void);
void check_inotify(void);
void check_files(void);

/* mounts.c */
void check_proc(void);
void check_sys(void);
void check_run(void);
void check_pty(void);
void check_shm(void);

/* image.c: what clones of this guest would have in common */
void check_image(void);
void check_trust(void);

#endif
