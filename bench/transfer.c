/* bench/transfer.c - one large file, to the client and from it */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <nettle/sha2.h>

#include "base/fd.h"
#include "base/mem.h"
#include "bench/daemons.h"

#define MIB      (1u << 20)
#define WINDOW   (4 * MIB)
#define PER_MIBS (1e6 / MIB)

static struct client *clients[2];
static char *buffer; /* 1 MiB */
static char *path, *source;

/* The daemon's side of a socket, in a process of its own: true when all went well. */
typedef bool mover(int file, int sock);

static bool send_file(int file, int sock)
{
	ssize_t n;

	do
		n = sendfile(sock, file, NULL, MIB);
	while (n > 0);
	return n == 0;
}

static bool copy(int from, int to)
{
	ssize_t n = read(from, buffer, MIB / 4);

	while (n > 0 && fd_write_all(to, buffer, (size_t)n) == 0)
		n = read(from, buffer, MIB / 4);
	return n == 0;
}

static bool receive_copy(int file, int sock)
{
	return copy(sock, file);
}

static bool receive_splice(int file, int sock)
{
	int way[2];
	ssize_t n;

	if (pipe2(way, O_CLOEXEC) < 0 || fcntl(way[1], F_SETPIPE_SZ, MIB) < 0)
		return false;
	while ((n = splice(sock, NULL, way[1], NULL, MIB, SPLICE_F_MOVE)) > 0) {
		while (n > 0) {
			ssize_t out = splice(way[0], NULL, file, NULL, (size_t)n, SPLICE_F_MOVE);

			if (out <= 0)
				return false;
			n -= out;
		}
	}
	return n == 0;
}

static bool receive_hash(int file, int sock)
{
	unsigned char digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx hash;
	ssize_t n;

	sha256_init(&hash);
	while ((n = read(sock, buffer, MIB / 4)) > 0) {
		if (fd_write_all(file, buffer, (size_t)n) < 0)
			return false;
		sha256_update(&hash, (size_t)n, (uint8_t *)buffer);
	}
	sha256_digest(&hash, sizeof(digest), digest);
	return n == 0;
}

static mover *const readers[] = {send_file, copy};
static mover *const writers[] = {receive_splice, receive_copy, receive_hash};

/* Our end of the socket; the other one has MOVE, with the file opened with FLAGS. */
static int start_mover(mover *move, int flags, pid_t *pid)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		give_up("no socket pair: %m");
	*pid = fork();
	if (*pid == 0) {
		int file = open(path, flags | O_CLOEXEC, 0600);

		close(fds[0]);
		_exit(file < 0 || !move(file, fds[1]));
	}
	close(fds[1]);
	return fds[0];
}

static void end_mover(struct contestant *c, pid_t pid)
{
	siginfo_t gone;
	int status;

	waitid(P_PID, (id_t)pid, &gone, WEXITED | WNOWAIT); /* a zombie still tells */
	samples_add(&c->cpu, cpu_us(pid) / (double)c->count);
	waitpid(pid, &status, 0);
	if (status != 0)
		give_up("%s failed", c->name);
}

static void came(struct contestant *c, struct samples *results, uint64_t bytes, double from)
{
	samples_add(results, (double)bytes * PER_MIBS / (now_us() - from));
	if (bytes != c->count)
		give_up("%s: %llu bytes came", c->name, (unsigned long long)bytes);
}

static void bare_read(struct contestant *c, struct samples *results)
{
	uint64_t have = 0;
	double from = now_us();
	ssize_t n;
	pid_t pid;
	int fd = start_mover(readers[c->width], O_RDONLY, &pid);

	while ((n = read(fd, buffer, MIB)) > 0)
		have += (uint64_t)n;
	close(fd);
	came(c, results, have, from);
	end_mover(c, pid);
}

static uint32_t begin(struct client *client, const char *method, bool hash)
{
	uint32_t id;
	struct enc *e = client_begin(client, method, &id);

	enc_map_end(e, enc_map_begin(e), 2);
	enc_kv_str(e, "path", path);
	enc_kv_bool(e, "hash", hash);
	if (client_send(client) < 0)
		give_up("%s: %s", method, client_why(client));
	return id;
}

static void guestd_read(struct contestant *c, struct samples *results)
{
	struct client *client = clients[c->width];
	uint64_t have = 0;
	double from = now_us();
	struct client_msg msg;

	begin(client, "fs.read", c->hash);
	do {
		if (client_next(client, -1, &msg) <= 0)
			give_up("fs.read: %s", client_why(client));
		if (msg.type == MSG_DATA)
			have += msg.len;
	} while (msg.type != MSG_RESPONSE);
	guestd_succeeded(&msg, "fs.read");
	came(c, results, have, from);
}

/*
 * Memory that was used just now.  Where a hypervisor takes back what is free, a new file is made of what
 * it has to give anew, page by page, and that is what would be measured.
 */
static void warm(uint64_t bytes)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0) == MAP_FAILED);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		give_up("no memory");
}

static void bare_write(struct contestant *c, struct samples *results)
{
	double from;
	pid_t pid;
	int fd;

	unlink(path);
	warm(c->count);
	from = now_us();
	fd = start_mover(writers[c->width], O_WRONLY | O_CREAT, &pid);
	for (uint64_t n = 0; n < c->count; n += MIB)
		write_all(fd, buffer, MIB);
	close(fd);
	end_mover(c, pid);
	came(c, results, c->count, from);
}

static void sftp_read(struct contestant *c, struct samples *results)
{
	double from = now_us();

	sftp(c, "get %s /dev/null\n", path);
	came(c, results, c->count, from);
}

/* It takes nothing but a file: one in memory. */
static void sftp_write(struct contestant *c, struct samples *results)
{
	double from;

	unlink(path);
	warm(c->count);
	from = now_us();
	sftp(c, "put %s %s\n", source, path);
	came(c, results, c->count, from);
}

/* Nothing but the digest, of bytes that are there. */
static void hash_alone(struct contestant *c, struct samples *results)
{
	unsigned char digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx hash;
	double from = now_us();

	sha256_init(&hash);
	for (uint64_t n = 0; n < c->count; n += MIB)
		sha256_update(&hash, MIB, (uint8_t *)buffer);
	sha256_digest(&hash, sizeof(digest), digest);
	came(c, results, c->count, from);
}

static void guestd_write(struct contestant *c, struct samples *results)
{
	struct client *client = clients[c->width];
	struct client_msg msg = {.type = MSG_DATA};
	uint64_t sent = 0;
	double from;
	uint32_t id;

	unlink(path);
	warm(c->count);
	from = now_us();
	id = begin(client, "fs.write", c->hash);
	while (sent < c->count) {
		size_t room = MIN(client_room(client, id), c->count - sent);

		if (room && client_data(client, id, 0, buffer, room) < 0)
			give_up("fs.write: %s", client_why(client));
		sent += room;
		if (!room && client_next(client, -1, &msg) < 0)
			give_up("fs.write: %s", client_why(client));
		if (msg.type == MSG_RESPONSE)
			guestd_succeeded(&msg, "fs.write");
	}
	if (client_end(client, id, 0) < 0)
		give_up("fs.write: %s", client_why(client));
	guestd_answered(client, id, "fs.write");
	came(c, results, sent, from);
}

#define GUESTD .daemon = guestd_pid()

/* The better one of the first N_BEST is the measure. */
static void run(
	const struct options *o, struct contestant *cs, size_t n, size_t n_best, const char *what)
{
	uint64_t bytes = (o->quick ? 128 : 1024) * (uint64_t)MIB;
	struct contestant *best = cs;

	for (size_t i = 0; i < n; i++) {
		cs[i].count = bytes;
	}
	guestd_forget_peak();
	contest(cs, n, o->rounds > 3 ? (o->rounds + 1) / 2 : o->rounds);
	for (size_t i = 1; i < n_best; i++) {
		if (samples_quantile(&cs[i].all, 0.5) > samples_quantile(&best->all, 0.5))
			best = &cs[i];
	}
	printf("\na file %s, %4llu MiB, MiB/s     median   daemon's CPU, us/MiB   client's   of %s   goal\n",
		what, (unsigned long long)(bytes / MIB), best->name);
	for (size_t i = 0; i < n; i++) {
		printf("  %-34s %8.0f   %20.1f   %8.1f", cs[i].name,
			samples_quantile(&cs[i].all, 0.5), samples_quantile(&cs[i].cpu, 0.5) * MIB,
			samples_quantile(&cs[i].own_cpu, 0.5) * MIB);
		printf("   %11.2f%s", contest_ratio(&cs[i], best),
			cs[i].daemon ? "   >= 0.80" : "");
		puts("");
	}
	printf("  guestd meanwhile: anonymous memory %ld KiB, peak of all %ld KiB\n",
		guestd_memory("RssAnon"), guestd_memory("VmHWM"));
	contest_free(cs, n);
}

static void open_all(void)
{
	buffer = xcalloc(1, MIB);
	path = xasprintf("%s/large", files_dir());
	source = xasprintf("%s/source", files_dir());
	clients[0] = guestd_client(0);
	clients[1] = guestd_client(WINDOW);
}

static void close_all(void)
{
	unlink(path);
	unlink(source);
	client_close(clients[0]);
	client_close(clients[1]);
	free(path);
	free(source);
	free(buffer);
}

static void make_file(const struct options *o, const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		give_up("%s: %m", name);
	for (unsigned i = 0; i < (o->quick ? 128u : 1024u); i++)
		write_all(fd, buffer, MIB);
	close(fd);
}

void bench_read(const struct options *o)
{
	struct contestant cs[] = {
		{.name = "sendfile", .run = bare_read, .width = 0},
		{.name = "read and write, 256 KiB", .run = bare_read, .width = 1},
		{.name = "guestd fs.read, transport mode", GUESTD, .run = guestd_read, .width = 0},
		{.name = "guestd fs.read, window 4 MiB", GUESTD, .run = guestd_read, .width = 1},
		{.name = "guestd fs.read, digest",
			GUESTD,
			.run = guestd_read,
			.width = 0,
			.hash = true},
		{.name = "OpenSSH sftp get", .run = sftp_read},
	};

	open_all();
	make_file(o, path);
	run(o, cs, ARRAY_LEN(cs) - !sftp_there(), 1, "to the client  ");
	close_all();
}

void bench_write(const struct options *o)
{
	struct contestant cs[] = {
		{.name = "splice", .run = bare_write, .width = 0},
		{.name = "recv and write, 256 KiB", .run = bare_write, .width = 1},
		{.name = "recv, write and SHA-256", .run = bare_write, .width = 2},
		{.name = "SHA-256 alone", .run = hash_alone},
		{.name = "guestd fs.write, no digest", GUESTD, .run = guestd_write, .width = 0},
		{.name = "guestd fs.write, with credits", GUESTD, .run = guestd_write, .width = 1},
		{.name = "guestd fs.write, digest",
			GUESTD,
			.run = guestd_write,
			.width = 0,
			.hash = true},
		{.name = "guestd fs.write, digest, credits",
			GUESTD,
			.run = guestd_write,
			.width = 1,
			.hash = true},
		{.name = "OpenSSH sftp put", .run = sftp_write},
	};

	open_all();
	make_file(o, source);
	run(o, cs, ARRAY_LEN(cs) - !sftp_there(), 2, "from the client");
	close_all();
}
