/* proc/cgroup_owner.c - which agent a guestd.PID belongs to, and whether that agent lives */
#include "proc/cgroup_owner.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "proc/cgfs.h"
#include "proc/tree.h"

/* "VERSION PID START RUN-DIR": START is that of /proc/PID/stat. */
#define NOTE_VERSION 1
#define NOTE_MAX     512 /* a longer run-dir is cut on both sides */

static void make_note(
	char note[NOTE_MAX], pid_t pid, unsigned long long started, const char *run_dir)
{
	snprintf(note, NOTE_MAX, "%d %d %llu %s", NOTE_VERSION, (int)pid, started, run_dir);
}

/* guestd.PID or guestd.PID.anything; 0: another name. */
static pid_t pid_in(const char *name)
{
	char *end;
	long pid;

	if (strncmp(name, "guestd.", 7) != 0 || !isdigit((unsigned char)name[7]))
		return 0;
	pid = strtol(name + 7, &end, 10);
	return (*end == '\0' || *end == '.') && pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/* The note at NAME; false: there is none that can be read. */
static bool read_note(int own, const char *name, char note[NOTE_MAX])
{
	cleanup_fd int dir = cgfs_open(own, name);
	ssize_t n = dir < 0 ? dir : cgfs_noted(dir, note, NOTE_MAX - 1);

	note[MAX(n, 0)] = '\0';
	return n > 0;
}

enum cgroup_owner cgroup_owner_find(int own, const char *name, const char *run_dir)
{
	char note[NOTE_MAX], ours[NOTE_MAX];
	pid_t pid = pid_in(name);
	unsigned long long started;
	struct tree_stat s;
	char *end;

	if (!pid)
		return OWNER_ALIVE;
	if (!read_note(own, name, note)) {
		bool dead = pid == getpid() || (kill(pid, 0) < 0 && errno == ESRCH);

		return dead ? OWNER_DEAD : OWNER_ALIVE;
	}
	if (strtol(note, &end, 10) != NOTE_VERSION)
		return OWNER_ALIVE; /* of one that knows more than we do */
	pid = (pid_t)strtol(end, &end, 10);
	started = strtoull(end, NULL, 10);
	if (pid != getpid() && tree_stat(pid, &s) && s.started == started)
		return OWNER_ALIVE;
	make_note(ours, pid, started, run_dir);
	return strcmp(note, ours) == 0 ? OWNER_PREDECESSOR : OWNER_DEAD;
}

int cgroup_owner_note(int dir, const char *run_dir)
{
	struct tree_stat self = {0};
	char note[NOTE_MAX];

	if (!tree_stat(getpid(), &self))
		return -ESRCH;
	make_note(note, getpid(), self.started, run_dir);
	return cgfs_note(dir, note, strlen(note));
}
