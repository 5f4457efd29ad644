/*
 * bench/bench.h - contests: contestants take turns, and what counts is the ratio of neighbours
 *
 * The machine is shared and drifts by tens of per cent within seconds.  So every contest runs
 * in short rounds, all contestants in each, in an order that rotates; a ratio is the median of
 * the rounds' ratios, never the ratio of two totals.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/check.h"

struct options {
	const char *guestd; /* the daemon's binary */
	/* the programs built beside the bench */
	char *minimal, *tiny_true, *flood, *sleeper, *rawcat, *notify;
	const char *only; /* names of contests; NULL: everything */
	unsigned rounds;
	bool quick;
};

/* Numbers to take medians of. */
struct samples {
	double *at;
	size_t n, cap;
};

void samples_add(struct samples *s, double value);
void samples_free(struct samples *s);
/* Q of 0.5 is the median.  0 without samples. */
double samples_quantile(const struct samples *s, double q);

struct contestant {
	const char *name;
	/* Does it once, adding at least one number. */
	void (*run)(struct contestant *c, struct samples *results);
	const char *program; /* for RUN: what is executed */
	uint64_t count;      /* for RUN: how many times, how many bytes */
	unsigned width;      /* for RUN: how many at once, which variant */
	bool hash;           /* for RUN: a digest is wanted */
	pid_t daemon;        /* whose processor time is counted; 0: RUN does it, or nobody */

	/* out */
	struct samples all;    /* of every round */
	struct samples median; /* one for each round */
	/* Microseconds of processor time for each of COUNT, one for each round. */
	struct samples cpu;     /* the daemon's */
	struct samples own_cpu; /* the client's: the bench itself */
};

/* ROUNDS rounds after an uncounted one. */
void contest(struct contestant *cs, size_t n, unsigned rounds);
void contest_free(struct contestant *cs, size_t n);
/* The median of a/b over the rounds. */
double contest_ratio(const struct contestant *a, const struct contestant *b);

/* Microseconds with fractions. */
double now_us(void);

/*
 * Processor time of all threads of PID so far, in microseconds: the scheduler counts nanoseconds, and
 * what others do on the machine disturbs it little.
 */
double cpu_us(pid_t pid);

/* Processors that PID may use; 0 is the bench itself. */
void pin(pid_t pid, const cpu_set_t *set);
/* The N-th of ALL; false where there are fewer. */
bool nth_cpu(const cpu_set_t *all, unsigned n, cpu_set_t *one);

/* Something does not work at all: says so and exits. */
NORETURN void give_up(const char *fmt, ...) PRINTF(1, 2);

/* The contests, in the order of the report. */
void bench_exec(const struct options *o);
void bench_rate(const struct options *o);
void bench_ping(const struct options *o);
void bench_stream(const struct options *o);
void bench_stop(const struct options *o);
void bench_list(const struct options *o);
void bench_pty(const struct options *o);
void bench_read(const struct options *o);
void bench_write(const struct options *o);
void bench_files(const struct options *o);
void bench_stat(const struct options *o);
void bench_tree(const struct options *o);
void bench_net(const struct options *o);
void bench_watch(const struct options *o);
void bench_tar(const struct options *o);

#endif
