/* net/owners.c - which processes hold sockets, by inode */
#include "net/owners.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "proto/limits.h"

struct search {
	struct owner *at;
	size_t n, missing;
	int proc; /* of /proc */
	uint64_t deadline_us;
};

static int by_inode(const void *a, const void *b)
{
	const struct owner *x = a, *y = b;

	return (x->inode > y->inode) - (x->inode < y->inode);
}

static int falling(const void *a, const void *b)
{
	const pid_t *x = a, *y = b;

	return (*x < *y) - (*x > *y);
}

/* The inode of the socket behind NAME in DIR, or 0. */
static uint64_t socket_inode(int dir, const char *name)
{
	char target[64];
	ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

	if (n <= 0)
		return 0;
	target[n] = '\0';
	return strncmp(target, "socket:[", 8) == 0 ? strtoull(target + 8, NULL, 10) : 0;
}

static pid_t parent_of(int proc, pid_t pid)
{
	char path[32], line[512];
	const char *end;
	cleanup_fd int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%d/stat", (int)pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, line, sizeof(line) - 1);
	if (n <= 0)
		return 0;
	line[n] = '\0';
	end = strrchr(line, ')'); /* the name may hold anything */
	return end && strlen(end) > 4 ? (pid_t)strtol(end + 4, NULL, 10) : 0;
}

/*
 * A forked child has the socket under the same number as its parent: servers with workers are told
 * by whoever opened it.
 */
static pid_t eldest(int proc, pid_t pid, const char *fd, uint64_t inode)
{
	for (int depth = 0; depth < 16; depth++) {
		pid_t parent = parent_of(proc, pid);
		char path[64];

		if (parent <= 1)
			break;
		snprintf(path, sizeof(path), "%d/fd/%.16s", (int)parent, fd);
		if (socket_inode(proc, path) != inode)
			break;
		pid = parent;
	}
	return pid;
}

static void look_at(struct search *s, pid_t pid)
{
	const struct dirent *entry;
	char path[32];
	DIR *dir;
	int fd;

	snprintf(path, sizeof(path), "%d/fd", (int)pid);
	fd = openat(s->proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		fd_close(&fd);
		return;
	}
	while (s->missing && (entry = readdir(dir)) && clock_mono_us() < s->deadline_us) {
		struct owner key = {.inode = socket_inode(fd, entry->d_name)}, *found;

		found = key.inode ? bsearch(&key, s->at, s->n, sizeof(*s->at), by_inode) : NULL;
		if (!found || found->pid)
			continue;
		found->pid = eldest(s->proc, pid, entry->d_name, key.inode);
		s->missing--;
	}
	closedir(dir);
}

/* All pids, at most MAX_WALK of them, the highest first; how many. */
static size_t list_pids(DIR *proc, pid_t *pids)
{
	const struct dirent *entry;
	size_t n = 0;

	while (n < MAX_WALK && (entry = readdir(proc))) {
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
			pids[n++] = (pid_t)strtol(entry->d_name, NULL, 10);
	}
	qsort(pids, n, sizeof(*pids), falling);
	return n;
}

void owners_find(struct owner *at, size_t n)
{
	struct search s = {.at = at, .n = n, .missing = n};
	DIR *proc = n ? opendir("/proc") : NULL;
	pid_t *pids;
	size_t n_pids;

	if (!proc)
		return;
	qsort(at, n, sizeof(*at), by_inode);
	s.proc = dirfd(proc);
	s.deadline_us = clock_mono_us() + UINT64_C(1000) * OWNERS_MAX_MS;
	pids = xmalloc(MAX_WALK * sizeof(*pids));
	n_pids = list_pids(proc, pids);
	for (size_t i = 0; i < n_pids && s.missing && clock_mono_us() < s.deadline_us; i++) {
		if (pids[i] != getpid())
			look_at(&s, pids[i]);
	}
	free(pids);
	closedir(proc);
}
