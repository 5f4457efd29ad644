/* bench/exec.c - running programs: one after another, and many in flight on one connection */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "bench/daemons.h"

static int minimal_fds[2] = {-1, -1}; /* the second waits for each execve */
static struct client *client;

/* --- one after another --- */

/* What no daemon can beat: no client, no wake-up of a second process. */
static void bare_once(const char *program)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char text[512], *argv[] = {text, NULL}, *envp[] = {path, NULL};
	struct spawn s;
	int out[2], err[2], status, pidfd = -1;
	pid_t pid;

	snprintf(text, sizeof(text), "%s", program);
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		give_up("no pipe: %m");
	s.argv = argv;
	s.envp = envp;
	s.out = out[1];
	s.err = err[1];
	pid = spawn(&s, CLONE_VFORK, &pidfd);
	close(out[1]);
	close(err[1]);
	if (pid < 0 || s.error)
		give_up("cannot run %s", program);
	while (read(out[0], text, sizeof(text)) > 0 || read(err[0], text, sizeof(text)) > 0)
		;
	close(out[0]);
	close(err[0]);
	waitpid(pid, &status, 0);
	close(pidfd);
	if (status != 0)
		give_up("%s failed", program);
}

static size_t minimal_request(char *at, uint32_t id, const char *program)
{
	size_t len = strlen(program) + 1;
	uint32_t head[2] = {(uint32_t)(4 + len), id};

	memcpy(at, head, sizeof(head));
	memcpy(at + sizeof(head), program, len);
	return sizeof(head) + len;
}

static void minimal_once(const char *program)
{
	char request[512];
	uint32_t head[3] = {0};

	write_all(minimal_fds[0], request, minimal_request(request, 1, program));
	if (read(minimal_fds[0], head, sizeof(head)) != sizeof(head) || head[0] != 8 ||
		head[2] != 0)
		give_up("the minimal agent: %s failed", program);
}

static void guestd_once(const char *program)
{
	uint32_t id = guestd_exec(client, program, NULL);
	struct client_msg msg;

	if (client_response(client, id, -1, &msg) < 0)
		give_up("proc.exec: %s", client_why(client));
	guestd_exited(&msg);
}

static void times(struct contestant *c, struct samples *results, void (*once)(const char *))
{
	for (uint64_t i = 0; i < c->count; i++) {
		double from = now_us();

		once(c->program);
		samples_add(results, now_us() - from);
	}
}

static void bare_times(struct contestant *c, struct samples *results)
{
	times(c, results, bare_once);
}

static void minimal_times(struct contestant *c, struct samples *results)
{
	times(c, results, minimal_once);
}

static void guestd_times(struct contestant *c, struct samples *results)
{
	times(c, results, guestd_once);
}

static void connect_both(void)
{
	minimal_fds[0] = minimal_connect(false);
	minimal_fds[1] = minimal_connect(true);
	client = guestd_client(0);
}

static void disconnect_both(void)
{
	fd_close(&minimal_fds[0]);
	fd_close(&minimal_fds[1]);
	client_close(client);
	client = NULL;
}

void bench_exec(const struct options *o)
{
	const char *const programs[] = {"/bin/true", o->tiny_true};
	const char *const names[] = {"/bin/true", "static"};

	puts("\nexec, one after another, us         median      p99   daemon's CPU   of minimal   of bare   "
	     "goal");
	connect_both();
	for (size_t p = 0; p < ARRAY_LEN(programs); p++) {
		struct contestant cs[] = {
			{.name = "bare spawn", .run = bare_times},
			{.name = "minimal agent",
				.run = minimal_times,
				.daemon = minimal_pid(false)},
			{.name = "guestd proc.exec", .run = guestd_times, .daemon = guestd_pid()},
		};

		for (size_t i = 0; i < ARRAY_LEN(cs); i++) {
			cs[i].program = programs[p];
			cs[i].count = o->quick ? 20 : 50;
		}
		contest(cs, ARRAY_LEN(cs), o->rounds);
		for (size_t i = 0; i < ARRAY_LEN(cs); i++) {
			printf("  %-10s %-20s %8.1f %8.1f", names[p], cs[i].name,
				samples_quantile(&cs[i].all, 0.5),
				samples_quantile(&cs[i].all, 0.99));
			if (i > 0)
				printf("   %12.1f", samples_quantile(&cs[i].cpu, 0.5));
			if (i == 1)
				printf("   %10s   %7.2f", "", contest_ratio(&cs[1], &cs[0]));
			if (i == 2)
				printf("   %10.2f   %7.2f   <= 1.10 of minimal%s",
					contest_ratio(&cs[2], &cs[1]),
					contest_ratio(&cs[2], &cs[0]),
					p == 0 ? ", <= 1.25 of bare" : "");
			puts("");
		}
		contest_free(cs, ARRAY_LEN(cs));
	}
	disconnect_both();
}

/* --- many in flight --- */

/* Both clients keep WIDTH requests open and answer all answers of one read with one write. */
static void rate(struct contestant *c, struct samples *results, int fd)
{
	char requests[65536], answers[65536];
	uint64_t sent = 0, done = 0;
	size_t have = 0, queued = 0, used;
	double from = now_us();

	while (done < c->count) {
		uint32_t head[3];
		ssize_t n;

		while (sent < c->count && sent - done < c->width) {
			queued += minimal_request(requests + queued, (uint32_t)sent, c->program);
			sent++;
		}
		if (queued)
			write_all(fd, requests, queued);
		queued = 0;
		n = read(fd, answers + have, sizeof(answers) - have);
		if (n <= 0)
			give_up("the minimal agent ended");
		have += (size_t)n;
		for (used = 0; have - used >= sizeof(head); used += 4 + head[0]) {
			memcpy(head, answers + used, sizeof(head));
			if (have - used < 4 + head[0])
				break;
			if (head[2] != 0)
				give_up("the minimal agent: %s failed", c->program);
			done++;
		}
		memmove(answers, answers + used, have - used);
		have -= used;
	}
	samples_add(results, (double)c->count * 1e6 / (now_us() - from));
}

static void minimal_rate(struct contestant *c, struct samples *results)
{
	rate(c, results, minimal_fds[0]);
}

static void vfork_rate(struct contestant *c, struct samples *results)
{
	rate(c, results, minimal_fds[1]);
}

static void guestd_rate(struct contestant *c, struct samples *results)
{
	uint64_t sent = 0, done = 0;
	double from = now_us();

	while (done < c->count) {
		struct client_msg msg;
		int n;

		for (; sent < c->count && sent - done < c->width; sent++)
			guestd_exec(client, c->program, NULL);
		/* Only an empty queue of answers waits, and only waiting writes. */
		n = client_next(client, 0, &msg);
		if (n == 0)
			n = client_next(client, -1, &msg);
		if (n <= 0)
			give_up("proc.exec: %s", n ? client_why(client) : "no answer");
		if (msg.type == MSG_RESPONSE) {
			guestd_exited(&msg);
			done++;
		}
	}
	samples_add(results, (double)c->count * 1e6 / (now_us() - from));
}

void bench_rate(const struct options *o)
{
	const char *const programs[] = {"/bin/true", o->tiny_true};
	const char *const names[] = {"/bin/true", "static"};
	const unsigned widths[] = {16, 64};

	puts("\nexec, many in flight                 per second   daemon's CPU, us   of minimal   goal");
	connect_both();
	for (size_t i = 0; i < ARRAY_LEN(programs) * ARRAY_LEN(widths); i++) {
		size_t p = i / ARRAY_LEN(widths);
		unsigned width = widths[i % ARRAY_LEN(widths)];
		struct contestant cs[] = {
			{.name = "minimal, vfork", .run = vfork_rate, .daemon = minimal_pid(true)},
			{.name = "minimal", .run = minimal_rate, .daemon = minimal_pid(false)},
			{.name = "guestd", .run = guestd_rate, .daemon = guestd_pid()},
		};

		for (size_t k = 0; k < ARRAY_LEN(cs); k++) {
			cs[k].program = programs[p];
			cs[k].count = (p == 0 ? 200 : 1000) / (o->quick ? 2 : 1);
			cs[k].width = width;
		}
		contest(cs, ARRAY_LEN(cs), o->rounds);
		for (size_t k = 0; k < ARRAY_LEN(cs); k++) {
			printf("  %-10s %2u in flight, %-15s %6.0f   %16.1f", names[p], width,
				cs[k].name, samples_quantile(&cs[k].all, 0.5),
				samples_quantile(&cs[k].cpu, 0.5));
			if (k == 2)
				printf("   %10.2f   >= 0.90", contest_ratio(&cs[2], &cs[1]));
			puts("");
		}
		contest_free(cs, ARRAY_LEN(cs));
	}
	disconnect_both();
}
