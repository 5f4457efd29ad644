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

bool tree_stat(pid_t pid, struct tree_stat *out)
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

static void keep(struct tree *t, pid_t pid, int fd, bool in_group)
{
	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 16;
		t->at = realloc(t->at, t->cap * sizeof(*t->at));
		ASSERT(t->at);
	}
	t->at[t->n++] = (struct tree_member){pid, fd, in_group};
}

/* Holds the process that S was read from; false when it is gone. */
static bool hold(struct tree *t, const struct tree_stat *s, pid_t leader)
{
	struct tree_stat again;
	int fd = (int)syscall(SYS_pidfd_open, s->pid, 0);

	if (fd < 0)
		return false;
	/* Had the pid been recycled in between, the start would be another one. */
	if (!tree_stat(s->pid, &again) || again.started != s->started) {
		fd_close(&fd);
		return false;
	}
	keep(t, s->pid, fd, leader && again.pgrp == leader);
	return true;
}

void tree_add(
	struct tree *t, pid_t pid, pid_t leader, bool (*fits)(pid_t pid, void *ctx), void *ctx)
{
	int fd;

	if (t->n == MAX_MEMBERS || find(t, pid))
		return;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return;
	if (fits(pid, ctx))
		keep(t, pid, fd, leader && getpgid(pid) == leader);
	else
		fd_close(&fd);
}

static bool belongs(const struct tree *t, const struct tree_stat *s, pid_t leader)
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
		struct tree_stat s;
		pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);

		if (pid > 0 && !find(t, pid) && tree_stat(pid, &s) && belongs(t, &s, leader) &&
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

void tree_add_group(struct tree *t, pid_t pgrp, bool (*fits)(pid_t pid, void *ctx), void *ctx)
{
	DIR *proc = opendir("/proc");
	const struct dirent *d;

	while (proc && (d = readdir(proc))) {
		struct tree_stat s;
		pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);

		if (pid > 0 && tree_stat(pid, &s) && s.pgrp == pgrp)
			tree_add(t, pid, 0, fits, ctx);
	}
	if (proc)
		closedir(proc);
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

size_t tree_signal(const struct tree *t, int number, bool group_too)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		if ((group_too || !t->at[i].in_group) &&
			syscall(SYS_pidfd_send_signal, t->at[i].fd, number, NULL, 0) == 0)
			n++;
	}
	return n;
}

void tree_fini(struct tree *t)
{
	for (size_t i = 0; i < t->n; i++)
		fd_close(&t->at[i].fd);
	free(t->at);
	*t = (struct tree){0};
}
