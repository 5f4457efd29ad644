/*
 * bench/daemons.h - the daemons under test, and a supervisor that leaves nothing of them behind
 *
 * The bench runs in a child of its own process.  The parent only waits: when the child is gone,
 * however it went, every process that it left (they fall to the parent, a subreaper) is ended and
 * the directory of sockets removed.
 */
#ifndef BENCH_DAEMONS_H
#define BENCH_DAEMONS_H

#include "bench/bench.h"
#include "bench/spawn.h"
#include "ctl/client.h"

/* Makes the directory and forks.  Returns in the child alone; the parent exits with its status. */
void supervise(void);

/* Starts both daemons; gives up when one does not answer. */
void daemons_start(const struct options *o);

/* TERM and wait: guestd's exit is part of what is to work. */
void daemons_stop(void);

/* The process under test, for what is counted of it. */
pid_t minimal_pid(bool vfork);
pid_t guestd_pid(void);

/* A blocking connection.  VFORK: to the one that waits for each execve. */
int minimal_connect(bool vfork);
int guestd_connect(void);
/* WINDOW 0: transport mode. */
struct client *guestd_client(uint32_t window);

/* One more guestd, started with OPTION VALUE, to be stopped by who wants it no more; one at a time. */
struct client *guestd_other(
	const struct options *o, const char *option, const char *value, pid_t *pid);
void guestd_other_stop(pid_t *pid);

/* Where sockets of further programs may lie. */
const char *socket_dir(void);

/* Queues proc.exec of PROGRAM with one ARGUMENT or none (NULL).  The id of the call. */
uint32_t guestd_exec(struct client *c, const char *program, const char *argument);

/* "exit code 0", or gives up. */
void guestd_exited(const struct client_msg *msg);

/* Queues proc.start of PROGRAM as ID.  Or proc.stop: what KEY ("id", "label") calls NAME. */
uint32_t guestd_start(struct client *c, const char *program, const char *id);
uint32_t guestd_stop(struct client *c, const char *key, const char *name);

/* No error, or gives up. */
void guestd_succeeded(const struct client_msg *msg, const char *method);

/* Waits for the answer to CALL, which is no error, or gives up. */
void guestd_answered(struct client *c, uint32_t call, const char *method);

/* KEY of /proc/PID/status of guestd in KiB. */
long guestd_memory(const char *key);

/* "VmHWM" counts from now on. */
void guestd_forget_peak(void);

/* A directory for files, in memory where there is a file system for that; removed at the end. */
const char *files_dir(void);

/*
 * OpenSSH's sftp with its server as a child and no network: runs the commands of FMT, or gives up.  The
 * processor time of both is C's "daemon's".  Is it installed?  If not, this says so.
 */
bool sftp_there(void);
void sftp(struct contestant *c, const char *fmt, ...) PRINTF(2, 3);

/* All LEN bytes, or gives up. */
void read_all(int fd, void *bytes, size_t len);
void write_all(int fd, const void *bytes, size_t len);

#endif
