/*
 * bench/ping.c - the round trip: two processes, two wake-ups, nothing to do
 *
 * On one processor a wake-up is a switch of some microseconds; from one to another, idle one it is
 * an interrupt and costs ten times as much.  Left alone the scheduler moves between the two, so
 * both are measured, with everybody pinned.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "bench/daemons.h"
#include "proto/frame.h"

#define MAX_BYTES 4096

static struct client *client;
static int raw_fd = -1, echo_fd = -1;
static char request[MAX_BYTES];
static size_t request_len, answer_len; /* with their length prefixes */

static void exchange(int fd)
{
	char answer[MAX_BYTES];

	write_all(fd, request, request_len);
	read_all(fd, answer, answer_len);
}

static void echo_once(void)
{
	exchange(echo_fd);
}

static void raw_once(void)
{
	exchange(raw_fd);
}

static void client_once(void)
{
	struct client_msg msg;
	uint32_t id;

	if (client_request(client, "system.ping", &id) < 0 ||
		client_response(client, id, -1, &msg) < 0 || msg.error)
		give_up("system.ping: %s", client_why(client));
}

static void times(struct contestant *c, struct samples *results, void (*once)(void))
{
	for (uint64_t i = 0; i < c->count; i++) {
		double from = now_us();

		once();
		samples_add(results, now_us() - from);
	}
}

static void echo_times(struct contestant *c, struct samples *results)
{
	times(c, results, echo_once);
}

static void raw_times(struct contestant *c, struct samples *results)
{
	times(c, results, raw_once);
}

static void client_times(struct contestant *c, struct samples *results)
{
	times(c, results, client_once);
}

/* Encodes the request, and learns from guestd how long its answer is. */
static void learn_lengths(void)
{
	unsigned char head[FRAME_HEADER];
	char body[MAX_BYTES];
	struct buf b;
	struct enc e;

	buf_init(&b, sizeof(request));
	enc_frame_begin(&e, &b);
	enc_array(&e, 4);
	enc_uint(&e, MSG_REQUEST);
	enc_uint(&e, 1);
	enc_str(&e, "system.ping");
	enc_nil(&e);
	if (enc_frame_end(&e, sizeof(request)) < 0)
		give_up("cannot encode a ping");
	request_len = buf_len(&b);
	memcpy(request, buf_bytes(&b), request_len);
	buf_fini(&b);
	write_all(raw_fd, request, request_len);
	read_all(raw_fd, head, sizeof(head));
	answer_len = ((size_t)head[2] << 8) + head[3];
	if (answer_len > sizeof(body) - sizeof(head))
		give_up("system.ping answers %zu bytes", answer_len);
	read_all(raw_fd, body, answer_len);
	answer_len += sizeof(head);
}

/* A process that knows nothing but two lengths. */
static pid_t start_echo(void)
{
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		give_up("no socket pair: %m");
	pid = fork();
	if (pid == 0) {
		char bytes[MAX_BYTES] = {0};

		close(fds[0]);
		while (read(fds[1], bytes, request_len) == (ssize_t)request_len &&
			write(fds[1], bytes, answer_len) == (ssize_t)answer_len)
			;
		_exit(0);
	}
	close(fds[1]);
	echo_fd = fds[0];
	return pid;
}

static void report(struct contestant *cs, size_t n, const char *where, const char *goal)
{
	for (size_t i = 0; i < n; i++) {
		printf("  %-10s %-26s %8.1f %8.1f   %12.1f", where, cs[i].name,
			samples_quantile(&cs[i].all, 0.5), samples_quantile(&cs[i].all, 0.99),
			samples_quantile(&cs[i].cpu, 0.5));
		if (i)
			printf("   %11.2f   %s", contest_ratio(&cs[i], &cs[0]), goal);
		puts("");
	}
}

void bench_ping(const struct options *o)
{
	static const char *const where[] = {"two CPUs", "one CPU"};
	cpu_set_t all, first, other;
	pid_t echo;

	raw_fd = guestd_connect();
	client = guestd_client(0);
	learn_lengths();
	echo = start_echo();
	if (sched_getaffinity(0, sizeof(all), &all) < 0 || !nth_cpu(&all, 0, &first))
		give_up("no processor: %m");
	printf("\nround trip, %zu + %zu bytes, us            median      p99   daemon's CPU   of the echo   "
	       "goal\n",
		request_len, answer_len);
	for (unsigned k = 0; k < 2; k++) {
		struct contestant cs[] = {
			{.name = "bare echo", .run = echo_times},
			{.name = "guestd, raw frames", .run = raw_times},
			{.name = "guestd, client library", .run = client_times},
		};

		if (!nth_cpu(&all, !k, &other))
			continue;
		pin(0, &first);
		pin(echo, &other);
		pin(guestd_pid(), &other);
		for (size_t i = 0; i < ARRAY_LEN(cs); i++) {
			cs[i].count = o->quick ? 300 : 1000;
			cs[i].daemon = i == 0 ? echo : guestd_pid();
		}
		contest(cs, ARRAY_LEN(cs), o->rounds);
		report(cs, ARRAY_LEN(cs), where[k], k == 0 ? "<= 1.10" : "");
		contest_free(cs, ARRAY_LEN(cs));
	}
	pin(0, &all);
	pin(guestd_pid(), &all);
	fd_close(&echo_fd);
	fd_close(&raw_fd);
	client_close(client);
	waitpid(echo, NULL, 0);
}
