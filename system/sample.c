/* system/sample.c - how the guest does at one moment */
#include "system/sample.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "proto/limits.h"
#include "system/numbers.h"
#include "system/rss.h"

/* One text at a time is in here: /proc/stat with its interrupts is the longest that matters. */
#define TEXT_MAX (64u << 10)

struct disk {
	char *mount, *type;
	uint64_t total, available, free, files, files_free;
};

struct interface {
	char name[32];
	uint64_t rx[4], tx[4]; /* bytes, packets, errors, dropped */
};

struct block {
	char name[32];
	uint64_t reads, read_bytes, writes, written_bytes, busy_ms;
};

struct pressure {
	bool there, full_there;
	struct stall {
		double avg10, avg60, avg300;
		uint64_t total_us;
	} some, full;
};

static const char *const pressures[] = {"cpu", "memory", "io"};

struct sample {
	uint64_t time_us;
	/* user, nice, system, idle, iowait, irq, softirq, steal: ticks */
	uint64_t cpu[8], contexts, forks;
	unsigned cpus;
	double load[3];
	uint64_t threads, processes;
	/* bytes, in the order of memory_keys */
	uint64_t memory[10];
	uint64_t oom_kills;
	struct disk disks[MOUNTS_MAX];
	size_t n_disks;
	struct interface net[INTERFACES_MAX];
	size_t n_net;
	struct block blocks[BLOCKS_MAX];
	size_t n_blocks;
	bool cut; /* there is more than a bound above allows */
	char **skipped;
	size_t n_skipped;
	struct pressure psi[ARRAY_LEN(pressures)];
	struct {
		bool there;
		uint64_t cpu_us, memory, pids; /* UINT64_MAX: not told */
	} cgroup;
	uint64_t rss, cpu_ms, fds;
	char text[TEXT_MAX];
};

/* KEY at the beginning of a line of TEXT; what stands behind it, or NULL. */
static const char *behind(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		if (strncmp(p, key, len) == 0)
			return p + len;
	}
	return NULL;
}

static uint64_t number_behind(const char *text, const char *key)
{
	const char *p = behind(text, key);

	return p ? strtoull(p, NULL, 10) : 0;
}

static bool load_text(struct sample *s, const char *path)
{
	return fd_read_file(path, s->text, sizeof(s->text)) >= 0;
}

/* "4.25 4.28 3.58 3/345 20457": and 345 threads. */
static void take_load(struct sample *s)
{
	const char *p = s->text;

	if (!load_text(s, "/proc/loadavg"))
		return;
	for (size_t i = 0; i < ARRAY_LEN(s->load) && decimal(&p, &s->load[i]); i++)
		p += *p == ' ';
	p = strchr(p, '/');
	if (p)
		s->threads = strtoull(p + 1, NULL, 10);
}

static void take_cpu(struct sample *s)
{
	const char *line;

	if (!load_text(s, "/proc/stat"))
		return;
	line = behind(s->text, "cpu ");
	numbers(line, s->cpu, ARRAY_LEN(s->cpu));
	s->contexts = number_behind(s->text, "ctxt ");
	s->forks = number_behind(s->text, "processes ");
	take_load(s);
	s->cpus = (unsigned)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
}

static const struct {
	const char *key, *line;
} memory_keys[] = {
	{"total", "MemTotal:"},
	{"available", "MemAvailable:"},
	{"free", "MemFree:"},
	{"cached", "Cached:"},
	{"buffers", "Buffers:"},
	{"shared", "Shmem:"},
	{"dirty", "Dirty:"},
	{"swap_total", "SwapTotal:"},
	{"swap_free", "SwapFree:"},
	{"slab", "Slab:"},
};
BUILD_ASSERT(ARRAY_LEN(memory_keys) == ARRAY_LEN(((struct sample *)0)->memory));

static void take_memory(struct sample *s)
{
	if (load_text(s, "/proc/meminfo")) {
		for (size_t i = 0; i < ARRAY_LEN(memory_keys); i++)
			s->memory[i] = 1024 * number_behind(s->text, memory_keys[i].line);
	}
	if (load_text(s, "/proc/vmstat"))
		s->oom_kills = number_behind(s->text, "oom_kill ");
}

static size_t count_numbers(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	size_t n = 0;

	while (dir && (entry = readdir(dir)))
		n += entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
	if (dir)
		closedir(dir);
	return n;
}

static void take_disk(struct sample *s, const struct mount_entry *m)
{
	struct statfs fs;

	if (statfs(m->path, &fs) < 0 || fs.f_blocks == 0)
		return;
	s->disks[s->n_disks++] = (struct disk){
		.mount = xstrdup(m->path),
		.type = xstrdup(m->type),
		.total = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize,
		.free = (uint64_t)fs.f_bfree * (uint64_t)fs.f_bsize,
		.available = (uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize,
		.files = fs.f_files,
		.files_free = fs.f_ffree,
	};
}

static void take_disks(struct sample *s)
{
	struct mountinfo mounts;

	if (mountinfo_read(&mounts) == 0) {
		s->skipped = xcalloc(MAX(mounts.n, 1), sizeof(*s->skipped));
		for (size_t i = 0; i < mounts.n; i++) {
			const struct mount_entry *m = &mounts.at[i];

			if (m->hidden || m->again)
				continue;
			if (m->remote || m->blocked)
				s->skipped[s->n_skipped++] = xstrdup(m->path);
			else
				take_disk(s, m);
		}
		s->cut |= mounts.truncated;
	}
	mountinfo_fini(&mounts);
}

/* "  eth0: RX bytes packets errs drop fifo frame compressed multicast TX bytes ..." */
static void take_net(struct sample *s)
{
	char *rest = s->text, *line;

	if (!load_text(s, "/proc/self/net/dev"))
		return;
	while ((line = strsep(&rest, "\n"))) {
		char *colon = strrchr(line, ':'); /* an alias has one in its name */
		struct interface *i = &s->net[s->n_net];
		uint64_t v[16];

		if (!colon || numbers(colon + 1, v, ARRAY_LEN(v)) != ARRAY_LEN(v))
			continue;
		if (s->n_net == INTERFACES_MAX) {
			s->cut = true;
			return;
		}
		*colon = '\0';
		snprintf(i->name, sizeof(i->name), "%s", line + strspn(line, " "));
		for (size_t k = 0; k < 4; k++) {
			i->rx[k] = v[k];
			i->tx[k] = v[8 + k];
		}
		s->n_net++;
	}
}

/* A partition is no device of its own: its disk counts it. */
static bool is_whole(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/block/%s", name);
	return access(path, F_OK) == 0;
}

/* "8 0 sda reads merged sectors ms writes merged sectors ms running ms": sectors of 512 bytes. */
static void take_blocks(struct sample *s)
{
	char *rest = s->text, *line;

	if (!load_text(s, "/proc/diskstats"))
		return;
	while ((line = strsep(&rest, "\n"))) {
		const char *end = behind_words(line, 3), *from = behind_words(line, 2);
		struct block b = {0};
		uint64_t v[10];

		if (!end || numbers(end, v, ARRAY_LEN(v)) != ARRAY_LEN(v) || !(v[0] || v[4]))
			continue;
		from += strspn(from, " ");
		snprintf(b.name, sizeof(b.name), "%.*s", (int)(end - from), from);
		if (!is_whole(b.name))
			continue;
		if (s->n_blocks == BLOCKS_MAX) {
			s->cut = true;
			return;
		}
		b.reads = v[0];
		b.read_bytes = v[2] * 512;
		b.writes = v[4];
		b.written_bytes = v[6] * 512;
		b.busy_ms = v[9];
		s->blocks[s->n_blocks++] = b;
	}
}

static bool parse_stall(const char *text, const char *key, struct stall *out)
{
	double *const averages[] = {&out->avg10, &out->avg60, &out->avg300};
	const char *p = behind(text, key);

	for (size_t i = 0; p && i < ARRAY_LEN(averages); i++) {
		p = strchr(p, '=');
		p = p ? p + 1 : "";
		if (!decimal(&p, averages[i]))
			return false;
	}
	p = p ? strchr(p, '=') : NULL;
	if (!p)
		return false;
	out->total_us = strtoull(p + 1, NULL, 10);
	return true;
}

static void take_pressure(struct sample *s)
{
	for (size_t i = 0; i < ARRAY_LEN(pressures); i++) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/pressure/%s", pressures[i]);
		if (!load_text(s, path))
			continue;
		s->psi[i].there = parse_stall(s->text, "some", &s->psi[i].some);
		s->psi[i].full_there = parse_stall(s->text, "full", &s->psi[i].full);
	}
}

static uint64_t cgroup_number(const char *dir, const char *file, const char *key)
{
	char path[PATH_MAX + 32], text[4096];
	const char *p;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	if (fd_read_file(path, text, sizeof(text)) <= 0)
		return UINT64_MAX;
	p = behind(text, key);
	return p ? strtoull(p, NULL, 10) : UINT64_MAX;
}

uint64_t cgroup_cpu_us(const char *dir)
{
	return cgroup_number(dir, "cpu.stat", "usage_usec ");
}

static void take_agent(struct sample *s)
{
	struct timespec cpu;

	s->rss = rss_bytes();
	s->fds = count_numbers("/proc/self/fd");
	s->fds -= s->fds > 0; /* the one that counts */
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu) == 0)
		s->cpu_ms = (uint64_t)cpu.tv_sec * 1000 + (uint64_t)cpu.tv_nsec / 1000000;
}

struct sample *sample_take(const char *cgroup)
{
	struct sample *s = xcalloc(1, sizeof(*s));

	s->time_us = clock_real_us();
	take_cpu(s);
	take_memory(s);
	take_net(s);
	take_blocks(s);
	take_pressure(s);
	s->processes = count_numbers("/proc");
	if (cgroup) {
		s->cgroup.there = true;
		s->cgroup.cpu_us = cgroup_cpu_us(cgroup);
		s->cgroup.memory = cgroup_number(cgroup, "memory.current", "");
		s->cgroup.pids = cgroup_number(cgroup, "pids.current", "");
	}
	take_agent(s);
	take_disks(s); /* last: it may wait for a disk */
	return s;
}

void sample_free(struct sample *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_disks; i++) {
		free(s->disks[i].mount);
		free(s->disks[i].type);
	}
	for (size_t i = 0; i < s->n_skipped; i++)
		free(s->skipped[i]);
	free((void *)s->skipped);
	free(s);
}

/* Encoding */

/* The kernel's unit of CPU time: USER_HZ. */
static uint64_t ticks_ms(uint64_t ticks)
{
	return ticks * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static void encode_cpu(const struct sample *s, struct enc *e)
{
	enc_str(e, "cpu");
	enc_map_end(e, enc_map_begin(e), 9);
	enc_kv_uint(e, "user_ms", ticks_ms(s->cpu[0] + s->cpu[1]));
	enc_kv_uint(e, "system_ms", ticks_ms(s->cpu[2] + s->cpu[5] + s->cpu[6]));
	enc_kv_uint(e, "idle_ms", ticks_ms(s->cpu[3]));
	enc_kv_uint(e, "iowait_ms", ticks_ms(s->cpu[4]));
	enc_kv_uint(e, "steal_ms", ticks_ms(s->cpu[7]));
	enc_kv_uint(e, "count", s->cpus);
	enc_str(e, "load");
	enc_array(e, 3);
	for (size_t i = 0; i < 3; i++)
		enc_float(e, s->load[i]);
	enc_kv_uint(e, "contexts", s->contexts);
	enc_kv_uint(e, "forks", s->forks);
}

static void encode_memory(const struct sample *s, struct enc *e)
{
	enc_str(e, "memory");
	enc_map_end(e, enc_map_begin(e), ARRAY_LEN(memory_keys) + 2);
	for (size_t i = 0; i < ARRAY_LEN(memory_keys); i++)
		enc_kv_uint(e, memory_keys[i].key, s->memory[i]);
	enc_kv_uint(e, "used", s->memory[0] - MIN(s->memory[1], s->memory[0]));
	enc_kv_uint(e, "oom_kills", s->oom_kills);
}

static void encode_disks(const struct sample *s, struct enc *e)
{
	enc_str(e, "disks");
	enc_array(e, s->n_disks);
	for (size_t i = 0; i < s->n_disks; i++) {
		const struct disk *d = &s->disks[i];

		enc_map_end(e, enc_map_begin(e), 7);
		enc_kv_text(e, "mount", d->mount);
		enc_kv_text(e, "type", d->type);
		enc_kv_uint(e, "total", d->total);
		enc_kv_uint(e, "free", d->free);
		enc_kv_uint(e, "available", d->available);
		enc_kv_uint(e, "files", d->files);
		enc_kv_uint(e, "files_free", d->files_free);
	}
	enc_str(e, "skipped");
	enc_array(e, s->n_skipped);
	for (size_t i = 0; i < s->n_skipped; i++)
		enc_text(e, s->skipped[i], strlen(s->skipped[i]));
}

static void encode_net(const struct sample *s, struct enc *e)
{
	static const char *const rx[] = {"rx_bytes", "rx_packets", "rx_errors", "rx_dropped"};
	static const char *const tx[] = {"tx_bytes", "tx_packets", "tx_errors", "tx_dropped"};

	enc_str(e, "net");
	enc_array(e, s->n_net);
	for (size_t i = 0; i < s->n_net; i++) {
		enc_map_end(e, enc_map_begin(e), 9);
		enc_kv_text(e, "name", s->net[i].name);
		for (size_t k = 0; k < 4; k++) {
			enc_kv_uint(e, rx[k], s->net[i].rx[k]);
			enc_kv_uint(e, tx[k], s->net[i].tx[k]);
		}
	}
}

static void encode_blocks(const struct sample *s, struct enc *e)
{
	enc_str(e, "blocks");
	enc_array(e, s->n_blocks);
	for (size_t i = 0; i < s->n_blocks; i++) {
		const struct block *b = &s->blocks[i];

		enc_map_end(e, enc_map_begin(e), 6);
		enc_kv_text(e, "name", b->name);
		enc_kv_uint(e, "reads", b->reads);
		enc_kv_uint(e, "read_bytes", b->read_bytes);
		enc_kv_uint(e, "writes", b->writes);
		enc_kv_uint(e, "written_bytes", b->written_bytes);
		enc_kv_uint(e, "busy_ms", b->busy_ms);
	}
}

static void encode_stall(const char *key, const struct stall *stall, struct enc *e)
{
	enc_str(e, key);
	enc_map_end(e, enc_map_begin(e), 4);
	enc_str(e, "avg10");
	enc_float(e, stall->avg10);
	enc_str(e, "avg60");
	enc_float(e, stall->avg60);
	enc_str(e, "avg300");
	enc_float(e, stall->avg300);
	enc_kv_uint(e, "total_us", stall->total_us);
}

static size_t encode_pressure(const struct sample *s, struct enc *e)
{
	size_t mark, n = 0;

	for (size_t i = 0; i < ARRAY_LEN(pressures); i++)
		n += s->psi[i].there;
	if (!n)
		return 0;
	enc_str(e, "psi");
	mark = enc_map_begin(e);
	for (size_t i = 0; i < ARRAY_LEN(pressures); i++) {
		size_t inner;

		if (!s->psi[i].there)
			continue;
		enc_str(e, pressures[i]);
		inner = enc_map_begin(e);
		encode_stall("some", &s->psi[i].some, e);
		if (s->psi[i].full_there)
			encode_stall("full", &s->psi[i].full, e);
		enc_map_end(e, inner, 1 + (size_t)s->psi[i].full_there);
	}
	enc_map_end(e, mark, n);
	return 1;
}

static size_t encode_if_told(const char *key, uint64_t value, struct enc *e)
{
	if (value == UINT64_MAX)
		return 0;
	enc_kv_uint(e, key, value);
	return 1;
}

static size_t encode_cgroup(const struct sample *s, struct enc *e)
{
	size_t mark, n = 0;

	if (!s->cgroup.there)
		return 0;
	enc_str(e, "cgroup");
	mark = enc_map_begin(e);
	n += encode_if_told("cpu_us", s->cgroup.cpu_us, e);
	n += encode_if_told("memory", s->cgroup.memory, e);
	n += encode_if_told("pids", s->cgroup.pids, e);
	enc_map_end(e, mark, n);
	return 1;
}

size_t sample_encode(const struct sample *s, size_t calls, struct enc *e)
{
	size_t n = 10;

	enc_kv_uint(e, "time_us", s->time_us);
	encode_cpu(s, e);
	encode_memory(s, e);
	encode_disks(s, e); /* and skipped */
	encode_net(s, e);
	encode_blocks(s, e);
	n += encode_pressure(s, e);
	n += encode_cgroup(s, e);
	enc_kv_uint(e, "processes", s->processes);
	enc_kv_uint(e, "threads", s->threads);
	if (s->cut) {
		enc_kv_bool(e, "truncated", true);
		n++;
	}
	enc_str(e, "agent");
	enc_map_end(e, enc_map_begin(e), 4);
	enc_kv_uint(e, "rss", s->rss);
	enc_kv_uint(e, "cpu_ms", s->cpu_ms);
	enc_kv_uint(e, "fds", s->fds);
	enc_kv_uint(e, "calls", calls);
	return n;
}
