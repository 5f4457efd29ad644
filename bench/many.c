/* bench/many.c - many processes: started, listed, stopped */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/mem.h"
#include "bench/daemons.h"
#include "proto/frame.h"

#define WIDTH     64   /* in flight at once */
#define PROCESSES 1000 /* listed */

static struct client *client;

/* --- start and stop --- */

struct child {
	struct spawn spawn;
	int out[2], err[2], pidfd;
	pid_t pid;
};

/* An agent needs the pipes too: without them nobody could see what the process says. */
static void bare_start(struct child *child, const char *program)
{
	static char none[] = "A=";
	char path[512], *argv[] = {path, NULL}, *envp[] = {none, NULL};

	snprintf(path, sizeof(path), "%s", program);
	if (pipe2(child->out, O_CLOEXEC) < 0 || pipe2(child->err, O_CLOEXEC) < 0)
		give_up("no pipe: %m");
	child->spawn.argv = argv;
	child->spawn.envp = envp;
	child->spawn.out = child->out[1];
	child->spawn.err = child->err[1];
	child->pid = spawn(&child->spawn, CLONE_VFORK, &child->pidfd);
	if (child->pid < 0 || child->spawn.error)
		give_up("cannot run %s", program);
	fd_close(&child->out[1]);
	fd_close(&child->err[1]);
}

static void bare_stop(struct child *child)
{
	int status;

	waitpid(child->pid, &status, 0);
	fd_close(&child->out[0]);
	fd_close(&child->err[0]);
	fd_close(&child->pidfd);
}

static void bare_one_by_one(struct contestant *c, struct samples *results)
{
	static struct child child;

	for (uint64_t i = 0; i < c->count; i++) {
		double from = now_us();

		bare_start(&child, c->program);
		kill(child.pid, SIGTERM);
		bare_stop(&child);
		samples_add(results, now_us() - from);
	}
}

static void bare_rate(struct contestant *c, struct samples *results)
{
	struct child *children = xcalloc(WIDTH, sizeof(*children));
	double from = now_us();

	for (uint64_t i = 0; i < c->count; i += WIDTH) {
		for (size_t k = 0; k < WIDTH; k++)
			bare_start(&children[k], c->program);
		for (size_t k = 0; k < WIDTH; k++)
			kill(children[k].pid, SIGTERM);
		for (size_t k = 0; k < WIDTH; k++)
			bare_stop(&children[k]);
	}
	samples_add(results, (double)c->count * 1e6 / (now_us() - from));
	free(children);
}

/* No two processes of one run of the bench have the same. */
static const char *new_id(void)
{
	static unsigned long made;
	static char id[32];

	snprintf(id, sizeof(id), "bench-%lu", made++);
	return id;
}

static void guestd_one_by_one(struct contestant *c, struct samples *results)
{
	for (uint64_t i = 0; i < c->count; i++) {
		double from = now_us();
		const char *id = new_id();

		guestd_answered(client, guestd_start(client, c->program, id), "proc.start");
		guestd_answered(client, guestd_stop(client, "id", id), "proc.stop");
		samples_add(results, now_us() - from);
	}
}

/* Each slot of WIDTH is a process: when it is started it is stopped, and then there is another. */
static void guestd_rate(struct contestant *c, struct samples *results)
{
	struct slot {
		uint32_t call;
		bool stopping;
		char id[32];
	} slots[WIDTH] = {{0}};
	uint64_t begun = 0, done = 0;
	double from = now_us();
	struct client_msg msg;

	for (size_t k = 0; k < WIDTH && begun < c->count; k++, begun++) {
		snprintf(slots[k].id, sizeof(slots[k].id), "%s", new_id());
		slots[k].call = guestd_start(client, c->program, slots[k].id);
	}
	while (done < c->count) {
		struct slot *slot = slots;
		int n = client_next(client, 0, &msg);

		if (n == 0)
			n = client_next(client, -1, &msg);
		if (n <= 0)
			give_up("proc.start: %s", n ? client_why(client) : "no answer");
		if (msg.type != MSG_RESPONSE)
			continue;
		while (slot->call != msg.id)
			slot++;
		guestd_succeeded(&msg, slot->stopping ? "proc.stop" : "proc.start");
		done += slot->stopping;
		if (!slot->stopping) {
			slot->call = guestd_stop(client, "id", slot->id);
			slot->stopping = true;
		} else if (begun < c->count) {
			snprintf(slot->id, sizeof(slot->id), "%s", new_id());
			slot->call = guestd_start(client, c->program, slot->id);
			slot->stopping = false;
			begun++;
		}
	}
	samples_add(results, (double)c->count * 1e6 / (now_us() - from));
}

void bench_stop(const struct options *o)
{
	struct contestant one[] = {
		{.name = "bare spawn, kill, wait", .run = bare_one_by_one},
		{.name = "guestd proc.start, proc.stop",
			.run = guestd_one_by_one,
			.daemon = guestd_pid()},
	};
	struct contestant many[] = {
		{.name = "bare, 64 at a time", .run = bare_rate},
		{.name = "guestd, 64 in flight", .run = guestd_rate, .daemon = guestd_pid()},
	};

	client = guestd_client(0);
	for (size_t i = 0; i < ARRAY_LEN(one); i++) {
		one[i].program = many[i].program = o->sleeper;
		one[i].count = o->quick ? 20 : 50;
		many[i].count = (o->quick ? 4 : 10) * WIDTH;
	}
	puts("\nstart and stop of a static sleeper, us   median      p99   daemon's CPU   of bare");
	contest(one, ARRAY_LEN(one), o->rounds);
	for (size_t i = 0; i < ARRAY_LEN(one); i++) {
		printf("  %-34s %10.1f %8.1f", one[i].name, samples_quantile(&one[i].all, 0.5),
			samples_quantile(&one[i].all, 0.99));
		if (i)
			printf("   %12.1f   %7.2f", samples_quantile(&one[i].cpu, 0.5),
				contest_ratio(&one[i], &one[0]));
		puts("");
	}
	puts("the same, per second                                daemon's CPU, us   of bare");
	contest(many, ARRAY_LEN(many), o->rounds);
	for (size_t i = 0; i < ARRAY_LEN(many); i++) {
		printf("  %-34s %10.0f", many[i].name, samples_quantile(&many[i].all, 0.5));
		if (i)
			printf("   %16.1f   %7.2f", samples_quantile(&many[i].cpu, 0.5),
				contest_ratio(&many[i], &many[0]));
		puts("");
	}
	contest_free(one, ARRAY_LEN(one));
	contest_free(many, ARRAY_LEN(many));
	client_close(client);
}

/* --- a list of all processes --- */

static int raw_fd = -1;
static char *answer;

static size_t read_in(int proc, const char *pid, const char *file)
{
	char path[300], text[4096];
	cleanup_fd int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", pid, file);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, text, sizeof(text));
	return n > 0 ? (size_t)n : 0;
}

/* What a listing is made of: a stat, two files, read and thrown away. */
static void bare_walk(struct contestant *c, struct samples *results)
{
	for (uint64_t i = 0; i < c->count; i++) {
		double from = now_us();
		DIR *proc = opendir("/proc");
		const struct dirent *entry;
		unsigned found = 0;
		struct stat st;

		if (!proc)
			give_up("/proc: %m");
		while ((entry = readdir(proc))) {
			if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9' &&
				fstatat(dirfd(proc), entry->d_name, &st, 0) == 0 &&
				read_in(dirfd(proc), entry->d_name, "stat"))
				found += read_in(dirfd(proc), entry->d_name, "cmdline") > 0;
		}
		closedir(proc);
		if (found < PROCESSES)
			give_up("only %u processes in /proc", found);
		samples_add(results, now_us() - from);
	}
}

static void send_list(struct enc *e)
{
	enc_map_end(e, enc_map_begin(e), 1);
	enc_kv_bool(e, "all", true);
}

static void raw_list(struct contestant *c, struct samples *results)
{
	char request[64];
	struct buf b;
	struct enc e;
	size_t len;

	buf_init(&b, sizeof(request));
	enc_frame_begin(&e, &b);
	enc_array(&e, 4);
	enc_uint(&e, MSG_REQUEST);
	enc_uint(&e, 1);
	enc_str(&e, "proc.list");
	send_list(&e);
	if (enc_frame_end(&e, sizeof(request)) < 0)
		give_up("cannot encode a request");
	len = buf_len(&b);
	memcpy(request, buf_bytes(&b), len);
	buf_fini(&b);
	for (uint64_t i = 0; i < c->count; i++) {
		unsigned char head[FRAME_HEADER];
		double from = now_us();
		size_t n;

		write_all(raw_fd, request, len);
		read_all(raw_fd, head, sizeof(head));
		n = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
		if (n > MAX_FRAME)
			give_up("proc.list answers %zu bytes", n);
		read_all(raw_fd, answer, n);
		samples_add(results, now_us() - from);
	}
}

static void client_list(struct contestant *c, struct samples *results)
{
	for (uint64_t i = 0; i < c->count; i++) {
		double from = now_us();
		struct client_msg msg;
		uint32_t id;

		send_list(client_begin(client, "proc.list", &id));
		if (client_send(client) < 0 || client_response(client, id, -1, &msg) < 0)
			give_up("proc.list: %s", client_why(client));
		guestd_succeeded(&msg, "proc.list");
		if (val_count(msg.result) < PROCESSES)
			give_up("proc.list has %zu processes", val_count(msg.result));
		samples_add(results, now_us() - from);
	}
}

void bench_list(const struct options *o)
{
	struct contestant cs[] = {
		{.name = "bare walk of /proc", .run = bare_walk},
		{.name = "guestd, raw frames", .run = raw_list, .daemon = guestd_pid()},
		{.name = "guestd, client library", .run = client_list, .daemon = guestd_pid()},
	};

	raw_fd = guestd_connect();
	client = guestd_client(0);
	answer = xmalloc(MAX_FRAME);
	for (unsigned i = 0; i < PROCESSES; i++)
		guestd_start(client, o->sleeper, new_id());
	while (client_open_calls(client)) {
		struct client_msg msg;
		int n = client_next(client, -1, &msg);

		if (n < 0)
			give_up("proc.start: %s", client_why(client));
		if (n)
			guestd_succeeded(&msg, "proc.start");
	}
	for (size_t i = 0; i < ARRAY_LEN(cs); i++)
		cs[i].count = o->quick ? 3 : 10;
	contest(cs, ARRAY_LEN(cs), o->rounds);
	printf("\na list of all processes, %u, us       median      p99   daemon's CPU   of bare   goal\n",
		PROCESSES);
	for (size_t i = 0; i < ARRAY_LEN(cs); i++) {
		printf("  %-34s %8.0f %8.0f", cs[i].name, samples_quantile(&cs[i].all, 0.5),
			samples_quantile(&cs[i].all, 0.99));
		if (i)
			printf("   %12.0f   %7.2f   <= 1.50", samples_quantile(&cs[i].cpu, 0.5),
				contest_ratio(&cs[i], &cs[0]));
		puts("");
	}
	guestd_answered(client, guestd_stop(client, "label", "bench"), "proc.stop");
	contest_free(cs, ARRAY_LEN(cs));
	fd_close(&raw_fd);
	client_close(client);
	free(answer);
}
