/* bench/contest.c - rounds, medians and ratios */
#include "bench/bench.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"

/* Nothing below waits with a limit: a contestant that hangs ends the bench. */
#define RUN_MAX_S 120

double now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

void give_up(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("bench: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

void samples_add(struct samples *s, double value)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 256;
		s->at = realloc(s->at, s->cap * sizeof(*s->at));
		ASSERT(s->at != NULL);
	}
	s->at[s->n++] = value;
}

void samples_free(struct samples *s)
{
	free(s->at);
	*s = (struct samples){.n = 0};
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

double samples_quantile(const struct samples *s, double q)
{
	double *sorted, result;
	size_t i = (size_t)(q * (double)s->n);

	if (!s->n)
		return 0;
	sorted = xmalloc(s->n * sizeof(*sorted));
	memcpy(sorted, s->at, s->n * sizeof(*sorted));
	qsort(sorted, s->n, sizeof(*sorted), by_value);
	result = sorted[MIN(i, s->n - 1)];
	free(sorted);
	return result;
}

static double thread_us(pid_t pid, const char *thread)
{
	char path[64], text[128];

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/schedstat", (int)pid, thread);
	return fd_read_file(path, text, sizeof(text)) < 0 ? 0 : strtod(text, NULL) / 1e3;
}

double cpu_us(pid_t pid)
{
	const struct dirent *entry;
	char path[64];
	double sum = 0;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = pid ? opendir(path) : NULL;
	while (tasks && (entry = readdir(tasks)))
		sum += thread_us(pid, entry->d_name);
	if (tasks)
		closedir(tasks);
	return sum;
}

void pin(pid_t pid, const cpu_set_t *set)
{
	if (sched_setaffinity(pid, sizeof(*set), set) < 0)
		give_up("cannot pin process %d: %m", (int)pid);
}

bool nth_cpu(const cpu_set_t *all, unsigned n, cpu_set_t *one)
{
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, all) && n-- == 0) {
			CPU_ZERO(one);
			CPU_SET(cpu, one);
			return true;
		}
	}
	return false;
}

void contest(struct contestant *cs, size_t n, unsigned rounds)
{
	for (unsigned round = 0; round <= rounds; round++) {
		for (size_t i = 0; i < n; i++) {
			struct contestant *c = &cs[(i + round) % n];
			struct samples now = {.n = 0};
			double cpu = cpu_us(c->daemon), own_cpu = cpu_us(getpid());

			alarm(RUN_MAX_S);
			c->run(c, &now);
			alarm(0);
			cpu = cpu_us(c->daemon) - cpu;
			own_cpu = cpu_us(getpid()) - own_cpu;
			/* Round 0 fills caches and is not counted. */
			for (size_t k = 0; round && k < now.n; k++)
				samples_add(&c->all, now.at[k]);
			if (round) {
				samples_add(&c->median, samples_quantile(&now, 0.5));
				if (c->daemon)
					samples_add(&c->cpu, cpu / (double)c->count);
				samples_add(&c->own_cpu, own_cpu / (double)c->count);
			}
			samples_free(&now);
		}
	}
}

void contest_free(struct contestant *cs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		samples_free(&cs[i].all);
		samples_free(&cs[i].median);
		samples_free(&cs[i].cpu);
		samples_free(&cs[i].own_cpu);
	}
}

double contest_ratio(const struct contestant *a, const struct contestant *b)
{
	struct samples ratios = {.n = 0};
	double result;

	for (size_t i = 0; i < a->median.n && i < b->median.n; i++)
		samples_add(&ratios, a->median.at[i] / b->median.at[i]);
	result = samples_quantile(&ratios, 0.5);
	samples_free(&ratios);
	return result;
}
