/* proc/cgroup_left.c - the directories in which a predecessor started its processes */
#include "proc/cgroup_left.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proc/cgfs.h"

/* Of a directory that we would have made, its number; -1: somebody else's. */
static int number_in(const char *name)
{
	unsigned long n = strtoul(name, NULL, 10);
	char again[16];

	snprintf(again, sizeof(again), "%lu", MIN(n, MAX_CGROUPS));
	return n < MAX_CGROUPS && strcmp(name, again) == 0 ? (int)n : -1;
}

struct looking {
	bool (*found)(struct cgroup *cg, const char *note, size_t len);
	size_t n;
};

/* What is neither noted nor alive was a spare one. */
static bool look_at(int dir, const char *name, void *ctx)
{
	static char note[CGROUP_NOTE_MAX];
	struct looking *l = ctx;
	int number = number_in(name);
	struct cgroup *cg = number < 0 ? NULL : cgroup_reopen((unsigned)number);
	ssize_t n;

	(void)dir;
	if (!cg)
		return true;
	n = cgfs_noted(cgroup_fd(cg), note, sizeof(note));
	if (n >= 0 || cgroup_populated(cg)) {
		l->n++;
		if (l->found(cg, n >= 0 ? note : NULL, (size_t)MAX(n, 0)))
			return true;
	}
	cgroup_release(cg);
	return true;
}

size_t cgroup_each_left(bool (*found)(struct cgroup *cg, const char *note, size_t len))
{
	struct looking l = {.found = found};

	if (cgroup_all() >= 0)
		cgfs_each_child(cgroup_all(), look_at, &l);
	return l.n;
}
