/* ctl/picture.c - one look at the guest, and what two of them tell */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ctl/text.h"
#include "ctl/top.h"

/* A command line that is longer is of no use on a screen. */
#define COMMAND_BYTES 400

static uint64_t number(const struct val *map, const char *key)
{
	uint64_t n;

	return val_uint(val_get(map, key), &n) ? n : 0;
}

static uint64_t sum(const struct val *list, const char *key)
{
	uint64_t n = 0;

	for (size_t i = 0; i < val_count(list); i++)
		n += number(val_at(list, i), key);
	return n;
}

/* What goes round inside the guest is no traffic. */
static uint64_t traffic(const struct val *net, const char *key)
{
	uint64_t n = 0;

	for (size_t i = 0; i < val_count(net); i++) {
		if (!text_is(val_get(val_at(net, i), "name"), "lo"))
			n += number(val_at(net, i), key);
	}
	return n;
}

void picture_metrics(struct picture *p, const struct val *m)
{
	const struct val *cpu = val_get(m, "cpu"), *memory = val_get(m, "memory");
	const struct val *net = val_get(m, "net"), *blocks = val_get(m, "blocks");
	const struct val *agent = val_get(m, "agent"), *load = val_get(cpu, "load");

	p->time_us = number(m, "time_us");
	p->user_ms = number(cpu, "user_ms");
	p->system_ms = number(cpu, "system_ms");
	p->idle_ms = number(cpu, "idle_ms");
	p->iowait_ms = number(cpu, "iowait_ms");
	p->steal_ms = number(cpu, "steal_ms");
	p->cpus = number(cpu, "count");
	for (size_t i = 0; i < 3; i++) {
		if (i >= val_count(load) || !val_float(val_at(load, i), &p->load[i]))
			p->load[i] = 0;
	}
	p->memory = number(memory, "total");
	p->used = number(memory, "used");
	p->swap = number(memory, "swap_total");
	p->swap_free = number(memory, "swap_free");
	p->rx = traffic(net, "rx_bytes");
	p->tx = traffic(net, "tx_bytes");
	p->read = sum(blocks, "read_bytes");
	p->written = sum(blocks, "written_bytes");
	p->agent_rss = number(agent, "rss");
	p->agent_cpu_ms = number(agent, "cpu_ms");
	p->agent_calls = number(agent, "calls");
}

/* The kernel's own threads have no arguments: their name, in brackets. */
static char *command_of(const struct val *info)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	if (val_count(val_get(info, "argv"))) {
		text_val(f, val_get(info, "argv"));
	} else {
		fputc('[', f);
		text_val(f, val_get(info, "comm"));
		fputc(']', f);
	}
	fclose(f);
	if (text && len > COMMAND_BYTES)
		text[text_whole(text, COMMAND_BYTES)] = '\0';
	return text;
}

static int by_pid(const void *a, const void *b)
{
	const struct picture_process *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

void picture_processes(struct picture *p, const struct val *list)
{
	p->n_processes = val_count(list);
	p->processes = xcalloc(p->n_processes + 1, sizeof(*p->processes));
	for (size_t i = 0; i < p->n_processes; i++) {
		const struct val *info = val_at(list, i);
		struct picture_process *q = &p->processes[i];
		const char *state;
		size_t len;

		q->pid = number(info, "pid");
		q->uid = number(info, "uid");
		q->rss = number(info, "rss");
		q->cpu_ms = number(info, "user_ms") + number(info, "system_ms");
		q->started_us = number(info, "started_us");
		q->state = '?';
		if (val_bytes(val_get(info, "state"), &state, &len) && len && state[0] > ' ' &&
			state[0] < 0x7f)
			q->state = state[0];
		q->command = command_of(info);
	}
	qsort(p->processes, p->n_processes, sizeof(*p->processes), by_pid);
}

void picture_fini(struct picture *p)
{
	for (size_t i = 0; i < p->n_processes; i++)
		free(p->processes[i].command);
	free(p->processes);
	*p = (struct picture){0};
}

/* Printing */

static double delta(uint64_t now, uint64_t before)
{
	return now > before ? (double)(now - before) : 0;
}

static double seconds_between(const struct picture *now, const struct picture *before)
{
	double s = delta(now->time_us, before->time_us) / 1e6;

	return s > 0.001 ? s : 0.001;
}

static void print_rate(FILE *f, const char *what, uint64_t now, uint64_t before, double seconds)
{
	fprintf(f, "%s ", what);
	text_size(f, (uint64_t)(delta(now, before) / seconds));
	fputs("/s  ", f);
}

static void print_share(FILE *f, const char *what, double part, double whole)
{
	fprintf(f, "  %s %.1f%%", what, whole > 0 ? 100 * part / whole : 0);
}

static void print_of(FILE *f, const char *what, uint64_t part, uint64_t whole)
{
	fprintf(f, "%s ", what);
	text_size(f, part);
	fputs(" of ", f);
	text_size(f, whole);
	fputs("  ", f);
}

static void print_head(FILE *f, const struct picture *now, const struct picture *before)
{
	double user = delta(now->user_ms, before->user_ms);
	double system = delta(now->system_ms, before->system_ms);
	double wait = delta(now->iowait_ms, before->iowait_ms);
	double steal = delta(now->steal_ms, before->steal_ms);
	double all = user + system + wait + steal + delta(now->idle_ms, before->idle_ms);
	double seconds = seconds_between(now, before);

	fprintf(f, "processes %zu  load %.2f %.2f %.2f\n", now->n_processes, now->load[0],
		now->load[1], now->load[2]);
	fputs("cpu", f);
	print_share(f, "user", user, all);
	print_share(f, "system", system, all);
	print_share(f, "iowait", wait, all);
	print_share(f, "steal", steal, all);
	fprintf(f, "  of %" PRIu64 "\n", now->cpus);
	print_of(f, "memory", now->used, now->memory);
	print_of(f, "swap", now->swap - MIN(now->swap_free, now->swap), now->swap);
	fputc('\n', f);
	print_rate(f, "network  in", now->rx, before->rx, seconds);
	print_rate(f, "out", now->tx, before->tx, seconds);
	print_rate(f, "disks  read", now->read, before->read, seconds);
	print_rate(f, "written", now->written, before->written, seconds);
	fprintf(f, "\nagent  cpu %.1f%%  memory ",
		delta(now->agent_cpu_ms, before->agent_cpu_ms) / seconds / 10);
	text_size(f, now->agent_rss);
	fprintf(f, "  calls %" PRIu64 "\n\n", now->agent_calls);
}

/* The lines of the head, and of the headings. */
#define HEAD_LINES 7u

static int by_work(const void *a, const void *b)
{
	const struct picture_process *x = *(const struct picture_process *const *)a;
	const struct picture_process *y = *(const struct picture_process *const *)b;

	if (x->busy < y->busy || x->busy > y->busy)
		return x->busy < y->busy ? 1 : -1;
	if (x->rss != y->rss)
		return x->rss < y->rss ? 1 : -1;
	return by_pid(x, y);
}

/* A pid may be somebody else's by now. */
static void find_busy(struct picture_process *q, const struct picture *before, double seconds)
{
	const struct picture_process *was =
		bsearch(q, before->processes, before->n_processes, sizeof(*q), by_pid);
	uint64_t base = was && was->started_us == q->started_us ? was->cpu_ms : 0;

	q->busy = delta(q->cpu_ms, base) / seconds / 10;
}

static void print_process(FILE *f, const struct picture_process *q)
{
	fprintf(f, "%7" PRIu64 " %6" PRIu64 " %c %6.1f %8" PRIu64 "K %6" PRIu64 ".%02" PRIu64 "  ",
		q->pid, q->uid, q->state, q->busy, q->rss / 1024, q->cpu_ms / 1000,
		q->cpu_ms % 1000 / 10);
	fputs(q->command ? q->command : "", f);
	fputc('\n', f);
}

void picture_print(FILE *f, const struct picture *now, const struct picture *before, unsigned rows)
{
	const struct picture_process **order =
		xcalloc(now->n_processes + 1, sizeof(struct picture_process *));
	double seconds = seconds_between(now, before);
	size_t shown = now->n_processes;

	for (size_t i = 0; i < now->n_processes; i++) {
		find_busy(&now->processes[i], before, seconds);
		order[i] = &now->processes[i];
	}
	qsort((void *)order, now->n_processes, sizeof(*order), by_work);
	print_head(f, now, before);
	fputs("    PID    UID S   CPU%       RSS      TIME  COMMAND\n", f);
	/* The last line stays free: a newline there would scroll. */
	if (rows)
		shown = MIN(shown, rows > HEAD_LINES + 1 ? rows - HEAD_LINES - 1 : 0);
	for (size_t i = 0; i < shown; i++)
		print_process(f, order[i]);
	free((void *)order);
}
