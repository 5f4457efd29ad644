/*
 * bench/pty.c - a byte typed, and its echo, through a pseudo-terminal
 *
 * The program on the terminal is the same; guestd stands between it and us, which is two more
 * wake-ups of the four that a bare pty takes: the kernel passes the bytes on in a worker of its own.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "bench/daemons.h"

static int master = -1;
static struct client *client;
static uint32_t call;

static pid_t start_bare(const char *program)
{
	char byte;
	pid_t pid;

	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0)
		give_up("no pty: %m");
	pid = fork();
	if (pid == 0) {
		int slave;

		setsid();
		slave = open(ptsname(master), O_RDWR);
		ioctl(slave, TIOCSCTTY, 0);
		dup2(slave, STDIN_FILENO);
		dup2(slave, STDOUT_FILENO);
		close(slave);
		execl(program, program, NULL);
		_exit(127);
	}
	read_all(master, &byte, 1); /* its terminal is raw now */
	return pid;
}

/* The next event or byte of the call. */
static void next(struct client_msg *msg)
{
	do {
		if (client_next(client, -1, msg) <= 0)
			give_up("pty.open: %s", client_why(client));
		if (msg->type == MSG_RESPONSE) {
			guestd_succeeded(msg, "pty.open");
			give_up("pty.open: the program ended");
		}
	} while (msg->type != MSG_EVENT && msg->type != MSG_DATA);
}

static pid_t start_guestd(const char *program)
{
	struct client_msg msg;
	struct enc *e = client_begin(client, "pty.open", &call);
	int64_t pid = 0;

	enc_map_end(e, enc_map_begin(e), 3);
	enc_str(e, "argv");
	enc_array(e, 1);
	enc_str(e, program);
	enc_kv_uint(e, "rows", 24);
	enc_kv_uint(e, "cols", 80);
	if (client_send(client) < 0)
		give_up("pty.open: %s", client_why(client));
	do {
		next(&msg);
		if (msg.type == MSG_EVENT)
			val_int(val_get(msg.event, "pid"), &pid);
	} while (msg.type != MSG_DATA);
	return (pid_t)pid;
}

static void bare_times(struct contestant *c, struct samples *results)
{
	for (uint64_t i = 0; i < c->count; i++) {
		double from = now_us();
		char byte = 'x';

		write_all(master, &byte, 1);
		read_all(master, &byte, 1);
		samples_add(results, now_us() - from);
	}
}

static void guestd_times(struct contestant *c, struct samples *results)
{
	for (uint64_t i = 0; i < c->count; i++) {
		double from = now_us();
		struct client_msg msg;

		if (client_data(client, call, 0, "x", 1) < 0)
			give_up("pty.open: %s", client_why(client));
		do
			next(&msg);
		while (msg.type != MSG_DATA);
		if (msg.len != 1)
			give_up("pty.open: %zu bytes came back for one", msg.len);
		samples_add(results, now_us() - from);
	}
}

void bench_pty(const struct options *o)
{
	static const char *const where[] = {"two CPUs", "one CPU"};
	cpu_set_t all, first, other;
	struct client_msg msg;
	pid_t bare, theirs;

	client = guestd_client(0);
	bare = start_bare(o->rawcat);
	theirs = start_guestd(o->rawcat);
	if (sched_getaffinity(0, sizeof(all), &all) < 0 || !nth_cpu(&all, 0, &first))
		give_up("no processor: %m");
	puts("\necho of a byte on a pty, us             median      p99   daemon's CPU   of bare   goal");
	for (unsigned k = 0; k < 2; k++) {
		struct contestant cs[] = {
			{.name = "bare pty", .run = bare_times},
			{.name = "guestd pty.open", .run = guestd_times, .daemon = guestd_pid()},
		};

		if (!nth_cpu(&all, !k, &other))
			continue;
		pin(0, &first);
		pin(bare, &other);
		pin(theirs, &other);
		pin(guestd_pid(), &other);
		for (size_t i = 0; i < ARRAY_LEN(cs); i++)
			cs[i].count = o->quick ? 300 : 1000;
		contest(cs, ARRAY_LEN(cs), o->rounds);
		for (size_t i = 0; i < ARRAY_LEN(cs); i++) {
			printf("  %-10s %-24s %8.1f %8.1f", where[k], cs[i].name,
				samples_quantile(&cs[i].all, 0.5),
				samples_quantile(&cs[i].all, 0.99));
			if (i)
				printf("   %12.1f   %7.2f   %s", samples_quantile(&cs[i].cpu, 0.5),
					contest_ratio(&cs[i], &cs[0]), k == 0 ? "<= 2.00" : "");
			puts("");
		}
		contest_free(cs, ARRAY_LEN(cs));
	}
	pin(0, &all);
	pin(guestd_pid(), &all);
	fd_close(&master); /* hangs up */
	waitpid(bare, NULL, 0);
	if (client_cancel(client, call) < 0 || client_response(client, call, -1, &msg) < 0)
		give_up("pty.open: %s", client_why(client));
	client_close(client);
}
