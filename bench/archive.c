/* bench/archive.c - a real tree as an archive: beside tar and the compressors in a pipe */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "bench/daemons.h"

#define CHUNK (256u << 10)
/* Files of the tree, and where they are taken from: what every machine that can build has. */
#define FILES  20000
#define ORIGIN "/usr/include /usr/share"

struct result {
	uint64_t bytes; /* of the archive */
	long memory;    /* KiB, the largest process of it */
	double cpu_us;  /* of all of them, in the last round */
};

static struct client *client;
static char *top, *chunk;
static uint64_t tree_bytes;
static struct result results_of[16]; /* by the contestant's width */

static int add_size(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path;
	(void)ftw;
	tree_bytes += type == FTW_F ? (uint64_t)st->st_size : 0;
	return 0;
}

static void shell(const char *command, const char *argument)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, "sh", argument, (char *)NULL);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		give_up("failed: %s", command);
}

static void count(struct contestant *c, struct samples *results, double from, uint64_t bytes)
{
	samples_add(results, (double)tree_bytes / (now_us() - from));
	results_of[c->width].bytes = bytes;
}

static void note(const struct contestant *c, const struct rusage *usage)
{
	results_of[c->width].memory = usage->ru_maxrss;
	results_of[c->width].cpu_us =
		(double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1e6 +
		(double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec);
}

static uint64_t drain(int fd)
{
	uint64_t bytes = 0;
	ssize_t n;

	while ((n = read(fd, chunk, CHUNK)) > 0)
		bytes += (uint64_t)n;
	return bytes;
}

/* What the walk has to give away, at its barest. */
static int walk_socket;

static int send_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	int fd;
	ssize_t n;

	(void)st;
	(void)ftw;
	if (type != FTW_F)
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 1;
	while ((n = sendfile(walk_socket, fd, NULL, 1u << 20)) > 0)
		;
	close(fd);
	return n < 0;
}

static void walk(struct contestant *c, struct samples *results)
{
	double from = now_us();
	struct rusage usage;
	int fds[2], status;
	uint64_t bytes;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		give_up("no socket pair: %m");
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		walk_socket = fds[1];
		_exit(nftw(top, send_file, 32, FTW_PHYS));
	}
	close(fds[1]);
	bytes = drain(fds[0]);
	close(fds[0]);
	if (wait4(pid, &status, 0, &usage) != pid || status)
		give_up("the walk failed");
	count(c, results, from, bytes);
	note(c, &usage);
}

/* c->program is for a shell, with the tree as $1. */
static void command(struct contestant *c, struct samples *results)
{
	double from = now_us();
	struct rusage usage;
	int fds[2], status;
	uint64_t bytes;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0 || fcntl(fds[0], F_SETPIPE_SZ, 1 << 20) < 0)
		give_up("no pipe: %m");
	pid = fork();
	if (pid == 0) {
		dup2(fds[1], STDOUT_FILENO);
		execl("/bin/sh", "sh", "-c", c->program, "sh", top, (char *)NULL);
		_exit(127);
	}
	close(fds[1]);
	bytes = drain(fds[0]);
	close(fds[0]);
	if (wait4(pid, &status, 0, &usage) != pid || status)
		give_up("failed: %s", c->program);
	count(c, results, from, bytes);
	note(c, &usage);
}

/* c->program is the format. */
static void guestd(struct contestant *c, struct samples *results)
{
	struct client_msg msg = {.type = MSG_DATA};
	double cpu_before = cpu_us(guestd_pid()), from = now_us();
	uint64_t bytes = 0;
	uint32_t id;
	struct enc *e;

	guestd_forget_peak();
	e = client_begin(client, "tar.export", &id);
	enc_map_end(e, enc_map_begin(e), 2);
	enc_kv_str(e, "path", top);
	enc_kv_str(e, "format", c->program);
	if (client_send(client) < 0)
		give_up("tar.export: %s", client_why(client));
	while (msg.type != MSG_RESPONSE) {
		int n = client_next(client, -1, &msg);

		if (n < 0)
			give_up("tar.export: %s", client_why(client));
		if (n > 0 && msg.type == MSG_DATA)
			bytes += msg.len;
		if (n == 0)
			msg.type = MSG_DATA;
	}
	guestd_succeeded(&msg, "tar.export");
	results_of[c->width].cpu_us = cpu_us(guestd_pid()) - cpu_before;
	count(c, results, from, bytes);
	results_of[c->width].memory = guestd_memory("VmHWM");
}

/* The last program of a pipe is in a directory of PATH. */
static bool installed(const char *pipe)
{
	const char *name = strrchr(pipe, '|');
	char *path = xstrdup(getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
	char *rest = path, *dir;
	bool found = false;

	name = name ? name + 2 : pipe;
	while (!found && (dir = strsep(&rest, ":"))) {
		char *file = xasprintf("%s/%.*s", dir, (int)strcspn(name, " "), name);

		found = access(file, X_OK) == 0;
		free(file);
	}
	free(path);
	return found;
}

static void make_tree(unsigned files)
{
	char *make =
		xasprintf("mkdir -p \"$1\" && find " ORIGIN " -xdev -type f | LC_ALL=C sort | "
			  "head -n %u | tar cf - -P -T - | tar xf - --strip-components=1 -C \"$1\"",
			files);

	shell(make, top);
	free(make);
	if (nftw(top, add_size, 32, FTW_PHYS) < 0 || !tree_bytes)
		give_up("%s: %m", top);
}

void bench_tar(const struct options *o)
{
	struct contestant all[] = {
		{.name = "walk, sendfile", .run = walk},
		{.name = "GNU tar", .run = command, .program = "tar cf - -C \"$1\" ."},
		{.name = "bsdtar", .run = command, .program = "bsdtar cf - -C \"$1\" ."},
		{.name = "guestd tar", .run = guestd, .program = "tar"},
		{.name = "tar | gzip -1",
			.run = command,
			.program = "tar cf - -C \"$1\" . | gzip -1"},
		{.name = "tar | pigz -1",
			.run = command,
			.program = "tar cf - -C \"$1\" . | pigz -1"},
		{.name = "tar | igzip -1",
			.run = command,
			.program = "tar cf - -C \"$1\" . | igzip -1"},
		{.name = "guestd tar.gz", .run = guestd, .program = "tar.gz"},
		{.name = "tar | zstd -1 -T2",
			.run = command,
			.program = "tar cf - -C \"$1\" . | zstd -q -1 -T2"},
		{.name = "guestd tar.zst", .run = guestd, .program = "tar.zst"},
	};
	/* What guestd's are measured by, in this order, and the aim. */
	const struct {
		const char *of;
		double aim;
	} aims[] = {{"GNU tar", 1.3}, {"tar | igzip -1", 1.5}, {"tar | zstd -1 -T2", 1.0}};
	struct contestant cs[ARRAY_LEN(all)];
	size_t n = 0, n_aims = 0;

	chunk = xmalloc(CHUNK);
	top = xasprintf("%s/tree", files_dir());
	client = guestd_client(0);
	make_tree(o->quick ? FILES / 10 : FILES);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (all[i].run == command && !installed(all[i].program))
			continue;
		cs[n] = all[i];
		cs[n].width = (unsigned)n;
		cs[n].count = tree_bytes;
		cs[n].daemon = all[i].run == guestd ? guestd_pid() : 0;
		n++;
	}
	contest(cs, n, o->rounds > 3 ? (o->rounds + 1) / 2 : o->rounds);
	printf("\na tree of %llu MB as an archive     MB/s of the tree   CPU, us/MB   ratio   memory, KiB\n",
		(unsigned long long)(tree_bytes / 1000000));
	for (size_t i = 0; i < n; i++) {
		const struct result *r = &results_of[i];

		printf("  %-30s %18.0f   %10.0f   %5.3f   %11ld", cs[i].name,
			samples_quantile(&cs[i].all, 0.5), r->cpu_us / (double)tree_bytes * 1e6,
			(double)tree_bytes / (double)r->bytes, r->memory);
		for (size_t k = 0; cs[i].run == guestd && k < n; k++) {
			if (strcmp(cs[k].name, aims[n_aims].of) == 0)
				printf("   %.2f of %s, aim >= %.1f", contest_ratio(&cs[i], &cs[k]),
					cs[k].name, aims[n_aims].aim);
		}
		n_aims += cs[i].run == guestd;
		puts("");
	}
	contest_free(cs, n);
	shell("rm -rf \"$1\"", top);
	client_close(client);
	free(top);
	free(chunk);
}
