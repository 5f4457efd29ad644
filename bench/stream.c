/* bench/stream.c - a child's output on its way to the client */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/mem.h"
#include "bench/daemons.h"

#define MIB      (1u << 20)
#define WINDOW   (4 * MIB)
#define PER_MIBS (1e6 / MIB)

static const struct copier {
	int pipe;     /* its size */
	size_t chunk; /* of one read; 0: splice */
} copiers[] = {
	{MIB, MIB},
	{MIB, MIB / 4},
	{MIB / 4, MIB / 16},
	{MIB, 0},
};

static struct client *clients[2];
static char *buffer; /* 1 MiB */

/* A daemon at its barest: one child, one pipe, one socket.  Runs in a process of its own. */
static int copy(const char *program, uint64_t bytes, const struct copier *how, int to)
{
	static char none[] = "A=";
	char path[512], number[24], *argv[] = {path, number, NULL}, *envp[] = {none, NULL};
	struct spawn s;
	int out[2], status, pidfd;
	pid_t pid;

	snprintf(path, sizeof(path), "%s", program);
	snprintf(number, sizeof(number), "%llu", (unsigned long long)bytes);
	if (pipe2(out, O_CLOEXEC) < 0 || fcntl(out[1], F_SETPIPE_SZ, how->pipe) < 0)
		return 1;
	s.argv = argv;
	s.envp = envp;
	s.out = out[1];
	s.err = -1;
	pid = spawn(&s, CLONE_VFORK, &pidfd);
	close(out[1]);
	if (pid < 0 || s.error)
		return 1;
	for (;;) {
		ssize_t n = how->chunk ? read(out[0], buffer, how->chunk)
				       : splice(out[0], NULL, to, NULL, MIB, SPLICE_F_MOVE);

		if (n == 0)
			break;
		if (n < 0 || (how->chunk && fd_write_all(to, buffer, (size_t)n) < 0))
			return 1;
	}
	waitpid(pid, &status, 0);
	return status != 0;
}

static void copy_rate(struct contestant *c, struct samples *results)
{
	uint64_t have = 0;
	double from = now_us();
	int fds[2], status;
	siginfo_t gone;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		give_up("no socket pair: %m");
	pid = fork();
	if (pid == 0)
		_exit(copy(c->program, c->count, &copiers[c->width], fds[1]));
	close(fds[1]);
	for (;;) {
		ssize_t n = read(fds[0], buffer, MIB);

		if (n <= 0)
			break;
		have += (uint64_t)n;
	}
	close(fds[0]);
	waitid(P_PID, (id_t)pid, &gone, WEXITED | WNOWAIT); /* a zombie still tells */
	samples_add(&c->cpu, cpu_us(pid) / (double)c->count);
	waitpid(pid, &status, 0);
	if (status != 0 || have != c->count)
		give_up("%s: %llu bytes came", c->name, (unsigned long long)have);
	samples_add(results, (double)have * PER_MIBS / (now_us() - from));
}

static void guestd_rate(struct contestant *c, struct samples *results)
{
	struct client *client = clients[c->width];
	uint64_t have = 0;
	char number[24];
	double from = now_us();
	struct client_msg msg;
	uint32_t id;

	snprintf(number, sizeof(number), "%llu", (unsigned long long)c->count);
	id = guestd_exec(client, c->program, number);
	do {
		if (client_next(client, -1, &msg) <= 0)
			give_up("proc.exec: %s", client_why(client));
		if (msg.type == MSG_DATA && msg.id == id && msg.channel == 1)
			have += msg.len;
	} while (msg.type != MSG_RESPONSE);
	guestd_exited(&msg);
	if (have != c->count)
		give_up("%s: %llu bytes came", c->name, (unsigned long long)have);
	samples_add(results, (double)have * PER_MIBS / (now_us() - from));
}

void bench_stream(const struct options *o)
{
	struct contestant cs[] = {
		{.name = "copy: 1 MiB pipe, 1 MiB reads", .run = copy_rate, .width = 0},
		{.name = "copy: 1 MiB pipe, 256 KiB reads", .run = copy_rate, .width = 1},
		{.name = "copy: 256 KiB pipe, 64 KiB reads", .run = copy_rate, .width = 2},
		{.name = "splice: 1 MiB pipe, no copy", .run = copy_rate, .width = 3},
		{.name = "guestd, transport mode", .run = guestd_rate, .width = 0},
		{.name = "guestd, credits, window 4 MiB", .run = guestd_rate, .width = 1},
	};
	uint64_t bytes = o->quick ? 128 * (uint64_t)MIB : 1024 * (uint64_t)MIB;
	struct contestant *best = &cs[0], *best_copy = &cs[0];

	buffer = xmalloc(MIB);
	clients[0] = guestd_client(0);
	clients[1] = guestd_client(WINDOW);
	for (size_t i = 0; i < ARRAY_LEN(cs); i++) {
		cs[i].program = o->flood;
		cs[i].count = bytes;
		cs[i].daemon = cs[i].run == guestd_rate ? guestd_pid() : 0;
	}
	contest(cs, ARRAY_LEN(cs), o->rounds > 3 ? (o->rounds + 1) / 2 : o->rounds);
	for (size_t i = 1; i < ARRAY_LEN(cs) && cs[i].run == copy_rate; i++) {
		if (samples_quantile(&cs[i].all, 0.5) > samples_quantile(&best->all, 0.5))
			best = &cs[i];
		if (copiers[cs[i].width].chunk &&
			samples_quantile(&cs[i].all, 0.5) > samples_quantile(&best_copy->all, 0.5))
			best_copy = &cs[i];
	}
	printf("\na child's output, %4llu MiB, MiB/s    median   daemon's CPU, us/MiB   client's   of best copy"
	       "   of best   goal\n",
		(unsigned long long)(bytes / MIB));
	for (size_t i = 0; i < ARRAY_LEN(cs); i++) {
		printf("  %-34s %8.0f   %20.1f   %8.1f", cs[i].name,
			samples_quantile(&cs[i].all, 0.5), samples_quantile(&cs[i].cpu, 0.5) * MIB,
			samples_quantile(&cs[i].own_cpu, 0.5) * MIB);
		if (cs[i].run == guestd_rate)
			printf("   %12.2f   %7.2f   >= 0.80 of best copy",
				contest_ratio(&cs[i], best_copy), contest_ratio(&cs[i], best));
		puts("");
	}
	contest_free(cs, ARRAY_LEN(cs));
	client_close(clients[0]);
	client_close(clients[1]);
	free(buffer);
}
