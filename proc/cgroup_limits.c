/* proc/cgroup_limits.c - what a cgroup may use */
#include "proc/cgroup_limits.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proc/cgfs.h"

int cgroup_limits_check(
	const struct cgroup_base *b, const struct cgroup_limits *l, struct failure *f)
{
	static const char *const params[N_CONTROLLERS] = {
		[CG_MEMORY] = "limits.memory",
		[CG_PIDS] = "limits.pids",
		[CG_CPU] = "limits.cpu_ms_per_s",
	};
	uint64_t wanted[N_CONTROLLERS] = {
		[CG_MEMORY] = l->memory,
		[CG_PIDS] = l->pids,
		[CG_CPU] = l->cpu_ms_per_s,
	};

	for (int i = 0; i < N_CONTROLLERS; i++) {
		if (wanted[i] && *b->lacks[i])
			return failure_set(f, ERR_UNSUPPORTED, "cgroup", NULL,
				"%s needs the cgroup controller %s: %s", params[i],
				controller_names[i], b->lacks[i]);
	}
	return 0;
}

static int set_memory(int cgroup, uint64_t bytes)
{
	char text[32];
	int err;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)bytes);
	err = cgfs_write(cgroup, "memory.max", text);
	if (err)
		return err;
	/*
	 * Nor may it go to swap instead: a process that fills the disk of a small guest, and slows
	 * down all others, is what the limit was to keep away; and who set it waits for the kill.
	 */
	err = cgfs_write(cgroup, "memory.swap.max", "0");
	return err == -ENOENT ? 0 : err; /* a kernel without swap */
}

static int set_pids(int cgroup, uint64_t n)
{
	/* PID_MAX_LIMIT of the kernel; what is above it is no number but "max". */
	const uint64_t most = 4194304;
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)MIN(n, most));
	return cgfs_write(cgroup, "pids.max", text);
}

/* The kernel takes no quota below 1 ms: what is less than that in 100 ms gets a longer period. */
static int set_cpu(int cgroup, uint64_t ms_per_s)
{
	const uint64_t most =
		1u << 30; /* a million processors; the kernel's quota ends far above */
	unsigned period = ms_per_s < 10 ? 1000000 : 100000;
	char text[48];

	snprintf(text, sizeof(text), "%llu %u",
		(unsigned long long)MIN(ms_per_s, most) * (period / 1000), period);
	return cgfs_write(cgroup, "cpu.max", text);
}

int cgroup_limits_set(int cgroup, const struct cgroup_limits *l, struct failure *f)
{
	const char *what = "memory";
	int err = l->memory ? set_memory(cgroup, l->memory) : 0;

	if (!err && l->pids) {
		what = "pids";
		err = set_pids(cgroup, l->pids);
	}
	if (!err && l->cpu_ms_per_s) {
		what = "cpu_ms_per_s";
		err = set_cpu(cgroup, l->cpu_ms_per_s);
	}
	if (err == -ENOENT)
		return failure_set(f, ERR_UNSUPPORTED, "cgroup", NULL,
			"cannot set limits.%s: this kernel is built without it", what);
	if (err)
		failure_set(
			f, err, "cgroup", NULL, "cannot set limits.%s: %s", what, strerror(-err));
	return err;
}
