/* proc/tree.c - a process and all that came of it */
#include "proc/tree.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

/* Against a fork bomb: what is beyond it is found in the next round, when these are dead. */
#define MAX_MEMBERS 4096

struct stat_line {
	pid_t pid, ppid, pgrp, session;
	unsigned long long started; /* clock ticks after boot: with the pid, an identity */
};

static bool read_stat(pid_t pid, struct stat_line *out)
{
	/* Behind the name: state, ppid, pgrp, session ... the 20th is starttime (proc(5)). */
	enum { PPID = 1, PGRP = 2, SESSION = 3, STARTED = 19 };
	char path[32], text[512];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (fd_read_file(path, text, sizeof(text)) <= 0)
		return false;
	out->pid = pid;
	p = strrchr(text, ')'); /* the name before it may hold anything */
	for (int field = 0; p && (p = strchr(p, ' ')); field++) {
		p++;
		if (field == PPID)
			out->ppid = (pid_t)strtol(p, NULL, 10);
		else if (field == PGRP)
			out->pgrp = (pid_t)strtol(p, NULL, 10);
		else if (field == SESSION)
			out->session = (pid_t)strtol(p, NULL, 10);
		else if (field == STARTED) {
			out->started = strtoull(p, NULL, 10);
			return true;
		}
	}
	return false;
}

static const struct tree_member *find(const struct tree *t, pid_t pid)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->at[i].pid == pid)
			return &t->at[i];
	}
	return NULL;
}

/* Holds the process that S was read from; false when it is gone. */
static bool hold(struct tree *t, const struct stat_line *s, pid_t leader)
{
	struct stat_line again;
	int fd = (int)syscall(SYS_pidfd_open, s->pid, 0);

	if (fd < 0)
		return false;
	/* Had the pid been recycled in between, the start would be another one. */
	if (!read_stat(s->pid, &again) || again.started != s->started) {
		fd_close(&fd);
		return false;
	}
	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 16;
		t->at = realloc(t->at, t->cap * sizeof(*t->at));
		ASSERT(t->at);
	}
	t->at[t->n++] = (struct tree_member){s->pid, fd, leader && again.pgrp == leader};
	return true;
}

static bool belongs(const struct tree *t, const struct stat_line *s, pid_t leader)
{
	if (leader && (s->pid == leader || s->ppid == leader || s->session == leader ||
			      s->pgrp == leader))
		return true;
	return find(t, s->ppid) != NULL;
}

/* One walk; how many are new.  /proc lists by pid, so most children come behind their parent. */
static size_t walk(struct tree *t, pid_t leader)
{
	DIR *proc = opendir("/proc");
	const struct dirent *d;
	size_t before = t->n;

	if (!proc)
		return 0;
	while ((d = readdir(proc)) && t->n < MAX_MEMBERS) {
		struct stat_line s;
		pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);

		if (pid > 0 && !find(t, pid) && read_stat(pid, &s) && belongs(t, &s, leader) &&
			!hold(t, &s, leader) && errno == ENOSYS)
			break;
	}
	closedir(proc);
	return t->n - before;
}

void tree_update(struct tree *t, pid_t leader)
{
	while (walk(t, leader) && t->n < MAX_MEMBERS)
		;
	if (t->n == MAX_MEMBERS)
		log_limited(LOG_WARN, "tree", "more than members=%d in one tree", MAX_MEMBERS);
}

/* A pidfd is readable once its process is dead, reaped or not: pidfd_open(2). */
static bool is_dead(const struct tree_member *m)
{
	struct pollfd p = {.fd = m->fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

size_t tree_prune(struct tree *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->n; i++) {
		if (is_dead(&t->at[i]))
			fd_close(&t->at[i].fd);
		else
			t->at[kept++] = t->at[i];
	}
	t->n = kept;
	if (kept == 0)
		tree_fini(t);
	return kept;
}

void tree_signal(const struct tree *t, int number, bool group_too)
{
	for (size_t i = 0; i < t->n; i++) {
		if (group_too || !t->at[i].in_group)
			syscall(SYS_pidfd_send_signal, t->at[i].fd, number, NULL, 0);
	}
}

void tree_fini(struct tree *t)
{
	for (size_t i = 0; i < t->n; i++)
		fd_close(&t->at[i].fd);
	free(t->at);
	*t = (struct tree){0};
}
