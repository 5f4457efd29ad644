/* proc/walk.c - all processes of the guest */
#include "proc/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

/* Of an argv, and of all of them. */
#define ARGV_MAX  4096u
#define ARGVS_MAX (4u << 20)

/* Fields of /proc/PID/stat behind the name, from 0: proc_pid_stat(5) counts from 1, with pid and name. */
enum {
	STATE,
	PPID,
	SESSION = 3,
	UTIME = 11,
	STIME,
	THREADS = 17,
	STARTED = 19,
	RSS = 21,
	N_FIELDS
};

/* FILE of PID, at most LEN - 1 bytes, terminated; bytes or -errno. */
static ssize_t read_file(int proc, const char *pid, const char *file, char *out, size_t len)
{
	char path[32];
	cleanup_fd int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", pid, file);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, out, len - 1);
	if (n < 0)
		return -errno;
	out[n] = '\0';
	return n;
}

static uint64_t ticks_us(uint64_t ticks)
{
	return ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* False when LINE is none of /proc/PID/stat. */
static bool parse_stat(char *line, struct walk_entry *out)
{
	char *name = strchr(line, '('), *end = strrchr(line, ')'); /* the name may hold anything */
	uint64_t field[N_FIELDS] = {0};
	char *p = end ? end + 1 : NULL;

	if (!name || !end || end < name || strlen(end) < 3)
		return false;
	snprintf(out->comm, sizeof(out->comm), "%.*s", (int)(end - name - 1), name + 1);
	out->state = end[2];
	for (int i = 0; i < N_FIELDS && p && *p; i++) {
		p++;
		field[i] = i == STATE ? 0 : strtoull(p, NULL, 10);
		p = strchr(p, ' ');
	}
	out->ppid = (pid_t)field[PPID];
	out->session = (pid_t)field[SESSION];
	out->user_ms = ticks_us(field[UTIME]) / 1000;
	out->system_ms = ticks_us(field[STIME]) / 1000;
	out->threads = field[THREADS];
	out->started_us = ticks_us(field[STARTED]);
	out->rss = field[RSS] * (uint64_t)sysconf(_SC_PAGESIZE);
	return true;
}

/* The directory is the effective user's, also of a process that is not dumpable: proc_pid(5). */
static void read_uid(int proc, const char *pid, struct walk_entry *out)
{
	struct stat st;

	if (fstatat(proc, pid, &st, 0) == 0)
		out->uid = st.st_uid;
}

static void read_argv(int proc, const char *pid, struct buf *argv, struct walk_entry *out)
{
	char text[ARGV_MAX + 2];
	ssize_t n = read_file(proc, pid, "cmdline", text, sizeof(text));

	out->argv = buf_len(argv);
	if (n <= 0)
		return; /* a kernel thread, or gone */
	out->argv_truncated = n > (ssize_t)ARGV_MAX;
	n = MIN(n, (ssize_t)ARGV_MAX);
	/* A process may have written over its arguments: then the last one has no end. */
	/* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Branch): read_file has filled it */
	if (text[n - 1])
		text[n++] = '\0';
	if (buf_add(argv, text, (size_t)n) < 0)
		out->argv_truncated = true;
	else
		out->argv_len = (size_t)n;
}

static int add(struct walk *w, int proc, const char *pid)
{
	struct walk_entry entry = {.pid = (pid_t)strtol(pid, NULL, 10)};
	char line[1024];

	if (read_file(proc, pid, "stat", line, sizeof(line)) <= 0 || !parse_stat(line, &entry))
		return 0; /* it is gone */
	if (w->n == w->cap) {
		size_t cap = w->cap ? 2 * w->cap : 256;
		struct walk_entry *at = realloc(w->at, cap * sizeof(*at));

		if (!at)
			return -ENOMEM;
		w->at = at;
		w->cap = cap;
	}
	read_uid(proc, pid, &entry);
	read_argv(proc, pid, &w->argv, &entry);
	w->at[w->n++] = entry;
	return 0;
}

static int by_pid(const void *a, const void *b)
{
	const struct walk_entry *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

int walk_proc(struct walk *w)
{
	DIR *proc = opendir("/proc");
	const struct dirent *d;
	int err = 0;

	*w = (struct walk){0};
	buf_init(&w->argv, ARGVS_MAX);
	if (!proc)
		return -errno;
	while (!err && (d = readdir(proc))) {
		if (d->d_name[0] < '1' || d->d_name[0] > '9')
			continue;
		if (w->n < MAX_WALK)
			err = add(w, dirfd(proc), d->d_name);
		else
			w->truncated++;
	}
	closedir(proc);
	qsort(w->at, w->n, sizeof(*w->at), by_pid);
	return err;
}

void walk_fini(struct walk *w)
{
	free(w->at);
	buf_fini(&w->argv);
	*w = (struct walk){0};
}

const struct walk_entry *walk_find(const struct walk *w, pid_t pid)
{
	const struct walk_entry key = {.pid = pid};

	return w->n ? bsearch(&key, w->at, w->n, sizeof(*w->at), by_pid) : NULL;
}
