/* bench/files.c - many small files: written, read, looked at, listed */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/mem.h"
#include "bench/daemons.h"

#define FILE_BYTES 1024
#define BATCH      900 /* of them in one fs.write_files: what fits into a frame */
#define BATCHES    2   /* such calls in flight: one is written while the next one comes */
#define WIDTH      128 /* calls in flight, of the others */
#define PER_DIR    1000

static struct client *client;
static char data[FILE_BYTES];
static char *top, *source;

/* The I-th file: of a hundred directories of a thousand. */
static const char *name(uint64_t i)
{
	static char path[160];

	snprintf(path, sizeof(path), "%s/%02llu/%03llu", top, (unsigned long long)(i / PER_DIR),
		(unsigned long long)(i % PER_DIR));
	return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_all(void)
{
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_dirs(uint64_t n)
{
	char path[160];

	remove_all();
	if (mkdir(top, 0755) < 0)
		give_up("%s: %m", top);
	for (uint64_t i = 0; i * PER_DIR < n; i++) {
		snprintf(path, sizeof(path), "%s/%02llu", top, (unsigned long long)i);
		if (mkdir(path, 0755) < 0)
			give_up("%s: %m", path);
	}
}

static void write_bare(uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		int fd = open(name(i), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

		if (fd < 0)
			give_up("%s: %m", name(i));
		write_all(fd, data, sizeof(data));
		close(fd);
	}
}

static void bare_write(struct contestant *c, struct samples *results)
{
	double from;

	make_dirs(c->count);
	from = now_us();
	write_bare(c->count);
	samples_add(results, (now_us() - from) / 1e3);
}

/* The next batch of files, from the I-th on; which comes then. */
static uint64_t write_batch(uint64_t i, uint64_t count, bool atomic)
{
	uint64_t n = MIN(count - i, BATCH);
	uint32_t id;
	struct enc *e = client_begin(client, "fs.write_files", &id);

	enc_map_end(e, enc_map_begin(e), 2);
	enc_kv_bool(e, "atomic", atomic);
	enc_str(e, "files");
	enc_array(e, n);
	while (n--) {
		enc_map_end(e, enc_map_begin(e), 2);
		enc_kv_str(e, "path", name(i++));
		enc_kv_bin(e, "data", data, sizeof(data));
	}
	if (client_send(client) < 0)
		give_up("fs.write_files: %s", client_why(client));
	return i;
}

/* WIDTH: whether each file is to be there as a whole or not at all. */
static void guestd_write(struct contestant *c, struct samples *results)
{
	unsigned in_flight = 0;
	struct client_msg msg;
	double from;

	make_dirs(c->count);
	from = now_us();
	for (uint64_t i = 0; i < c->count || in_flight;) {
		int n;

		for (; i < c->count && in_flight < BATCHES; in_flight++)
			i = write_batch(i, c->count, c->width);
		n = client_next(client, -1, &msg);
		if (n < 0)
			give_up("fs.write_files: %s", client_why(client));
		if (n == 0 || msg.type != MSG_RESPONSE)
			continue;
		guestd_succeeded(&msg, "fs.write_files");
		in_flight--;
	}
	samples_add(results, (now_us() - from) / 1e3);
}

static void bare_read(struct contestant *c, struct samples *results)
{
	double from = now_us();

	for (uint64_t i = 0; i < c->count; i++) {
		char bytes[2 * FILE_BYTES];

		if (fd_read_file(name(i), bytes, sizeof(bytes)) != FILE_BYTES)
			give_up("%s is not as it was written", name(i));
	}
	samples_add(results, (now_us() - from) / 1e3);
}

/* Its client reads what it writes from other files, which are made before. */
static void sftp_write(struct contestant *c, struct samples *results)
{
	double from;

	make_dirs(c->count);
	from = now_us();
	sftp(c, "put -r %s/. %s\n", source, top);
	samples_add(results, (now_us() - from) / 1e3);
}

/* Its client writes what it reads. */
static void sftp_read(struct contestant *c, struct samples *results)
{
	char *to = xasprintf("%s/got", files_dir());
	double from;

	nftw(to, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	if (mkdir(to, 0755) < 0)
		give_up("%s: %m", to);
	from = now_us();
	sftp(c, "get -r %s/. %s\n", top, to);
	samples_add(results, (now_us() - from) / 1e3);
	nftw(to, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(to);
}

/* What a whole file costs: nobody sees it before it is complete. */
static void bare_atomic(struct contestant *c, struct samples *results)
{
	double from;

	make_dirs(c->count);
	from = now_us();
	for (uint64_t i = 0; i < c->count; i++) {
		char dir[160];
		int fd;

		snprintf(dir, sizeof(dir), "%s/%02llu", top, (unsigned long long)(i / PER_DIR));
		fd = open(dir, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0644);
		if (fd < 0)
			give_up("%s: %m", dir);
		write_all(fd, data, sizeof(data));
		if (linkat(fd, "", AT_FDCWD, name(i), AT_EMPTY_PATH) < 0)
			give_up("%s: %m", name(i));
		close(fd);
	}
	samples_add(results, (now_us() - from) / 1e3);
}

/* COUNT calls of METHOD with a path each, WIDTH of them in flight. */
static void pipelined(const char *method, uint64_t count)
{
	uint64_t begun = 0, done = 0;
	struct client_msg msg;

	while (done < count) {
		int n;

		while (begun < count && begun - done < WIDTH) {
			uint32_t id;
			struct enc *e = client_begin(client, method, &id);

			enc_map_end(e, enc_map_begin(e), 1);
			enc_kv_str(e, "path", name(begun++));
			if (client_send(client) < 0)
				give_up("%s: %s", method, client_why(client));
		}
		n = client_next(client, -1, &msg);
		if (n < 0)
			give_up("%s: %s", method, client_why(client));
		if (n == 0 || msg.type != MSG_RESPONSE)
			continue;
		guestd_succeeded(&msg, method);
		done++;
	}
}

static void guestd_get(struct contestant *c, struct samples *results)
{
	double from = now_us();

	pipelined("fs.get", c->count);
	samples_add(results, (now_us() - from) / 1e3);
}

static void bare_stat(struct contestant *c, struct samples *results)
{
	double from = now_us();
	struct stat st;

	for (uint64_t i = 0; i < c->count; i++) {
		if (lstat(name(i), &st) < 0)
			give_up("%s: %m", name(i));
	}
	samples_add(results, (double)c->count * 1e6 / (now_us() - from));
}

static void guestd_stat(struct contestant *c, struct samples *results)
{
	double from = now_us();

	pipelined("fs.stat", c->count);
	samples_add(results, (double)c->count * 1e6 / (now_us() - from));
}

static void system_ping(struct contestant *c, struct samples *results)
{
	uint64_t begun = 0, done = 0;
	double from = now_us();
	struct client_msg msg;
	uint32_t id;

	while (done < c->count) {
		while (begun < c->count && begun - done < WIDTH) {
			if (client_request(client, "system.ping", &id) < 0)
				give_up("system.ping: %s", client_why(client));
			begun++;
		}
		if (client_next(client, -1, &msg) < 0)
			give_up("system.ping: %s", client_why(client));
		done += msg.type == MSG_RESPONSE;
	}
	samples_add(results, (double)c->count * 1e6 / (now_us() - from));
}

/* Each of them with what an Entry tells, as text. */
static void find(struct contestant *c, struct samples *results)
{
	static char bytes[1 << 16];
	double from = now_us();
	uint64_t lines = 0;
	siginfo_t gone;
	int out[2];
	ssize_t n;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0)
		give_up("no pipe: %m");
	pid = fork();
	if (pid == 0) {
		dup2(out[1], 1);
		execlp("find", "find", top, "-printf", "%P %y %s %m %U %G %u %g %T@ %C@ %i %n %l\n",
			(char *)NULL);
		_exit(127);
	}
	close(out[1]);
	while ((n = read(out[0], bytes, sizeof(bytes))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			lines += bytes[i] == '\n';
	}
	close(out[0]);
	samples_add(results, (now_us() - from) / 1e3);
	waitid(P_PID, (id_t)pid, &gone, WEXITED | WNOWAIT); /* a zombie still tells */
	samples_add(&c->cpu, cpu_us(pid) / (double)c->count);
	waitpid(pid, NULL, 0);
	if (lines < c->count)
		give_up("find printed %llu lines", (unsigned long long)lines);
}

static void guestd_tree(struct contestant *c, struct samples *results)
{
	double from = now_us();
	uint64_t entries = 0;
	struct client_msg msg;
	uint32_t id;
	struct enc *e = client_begin(client, "fs.tree", &id);

	enc_map_end(e, enc_map_begin(e), 2);
	enc_kv_str(e, "path", top);
	enc_kv_bool(e, "stream", true);
	if (client_send(client) < 0)
		give_up("fs.tree: %s", client_why(client));
	do {
		if (client_next(client, -1, &msg) <= 0)
			give_up("fs.tree: %s", client_why(client));
		if (msg.type == MSG_EVENT)
			entries += val_count(val_get(msg.event, "entries"));
	} while (msg.type != MSG_RESPONSE);
	guestd_succeeded(&msg, "fs.tree");
	samples_add(results, (now_us() - from) / 1e3);
	if (entries < c->count)
		give_up("fs.tree has %llu entries", (unsigned long long)entries);
}

/* CS[0] is the measure; more is better where HIGH. */
static void run(const struct options *o, struct contestant *cs, size_t n, uint64_t count,
	const char *head, const char *goal)
{
	for (size_t i = 0; i < n; i++)
		cs[i].count = count;
	guestd_forget_peak();
	contest(cs, n, o->rounds > 3 ? (o->rounds + 1) / 2 : o->rounds);
	printf("\n%-34s     median   daemon's CPU, us each   client's   of bare%s\n", head,
		*goal ? "   goal" : "");
	for (size_t i = 0; i < n; i++) {
		printf("  %-34s %8.0f   %21.2f   %8.2f", cs[i].name,
			samples_quantile(&cs[i].all, 0.5), samples_quantile(&cs[i].cpu, 0.5),
			samples_quantile(&cs[i].own_cpu, 0.5));
		if (i)
			printf("   %7.2f   %s", contest_ratio(&cs[i], &cs[0]), goal);
		puts("");
	}
	printf("  guestd meanwhile: anonymous memory %ld KiB, peak of all %ld KiB\n",
		guestd_memory("RssAnon"), guestd_memory("VmHWM"));
	contest_free(cs, n);
}

static void open_all(void)
{
	client = guestd_client(0);
	top = xasprintf("%s/small", files_dir());
	source = xasprintf("%s/source", files_dir());
}

static void close_all(void)
{
	client_close(client);
	remove_all();
	nftw(source, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(top);
	free(source);
}

void bench_files(const struct options *o)
{
	struct contestant writing[] = {
		{.name = "open, write, close", .run = bare_write},
		{.name = "O_TMPFILE, write, link, close", .run = bare_atomic},
		{.name = "guestd fs.write_files, in place",
			.run = guestd_write,
			.daemon = guestd_pid()},
		{.name = "guestd fs.write_files, atomic",
			.run = guestd_write,
			.width = 1,
			.daemon = guestd_pid()},
		{.name = "OpenSSH sftp put -r", .run = sftp_write},
	};
	struct contestant reading[] = {
		{.name = "open, read, close", .run = bare_read},
		{.name = "guestd fs.get, 128 in flight", .run = guestd_get, .daemon = guestd_pid()},
		{.name = "OpenSSH sftp get -r", .run = sftp_read},
	};
	bool no_sftp = !sftp_there();
	uint64_t n = o->quick ? 2000 : 10000;
	char head[64];

	open_all();
	make_dirs(n);
	write_bare(n);
	if (rename(top, source) < 0)
		give_up("%s: %m", source);
	snprintf(head, sizeof(head), "%llu files of 1 KiB written, ms", (unsigned long long)n);
	run(o, writing, ARRAY_LEN(writing) - no_sftp, n, head, "");
	make_dirs(n);
	write_bare(n);
	snprintf(head, sizeof(head), "%llu files of 1 KiB read, ms", (unsigned long long)n);
	run(o, reading, ARRAY_LEN(reading) - no_sftp, n, head, "");
	close_all();
}

void bench_stat(const struct options *o)
{
	struct contestant cs[] = {
		{.name = "lstat", .run = bare_stat},
		{.name = "guestd system.ping, no worker",
			.run = system_ping,
			.daemon = guestd_pid()},
		{.name = "guestd fs.stat", .run = guestd_stat, .daemon = guestd_pid()},
	};
	uint64_t n = o->quick ? 2000 : 10000;

	open_all();
	make_dirs(n);
	write_bare(n);
	run(o, cs, ARRAY_LEN(cs), n, "128 in flight, a second", "");
	close_all();
}

void bench_tree(const struct options *o)
{
	struct contestant cs[] = {
		{.name = "find -printf", .run = find},
		{.name = "guestd fs.tree, streamed", .run = guestd_tree, .daemon = guestd_pid()},
	};
	uint64_t n = o->quick ? 10000 : 100000;
	char head[64];

	open_all();
	make_dirs(n);
	write_bare(n);
	snprintf(head, sizeof(head), "a tree of %llu entries, ms", (unsigned long long)n);
	run(o, cs, ARRAY_LEN(cs), n, head, "");
	close_all();
}
