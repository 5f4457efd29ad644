/*
 * bench/net.c - a tunnel into the guest beside what else copies between two sockets
 *
 * A server on loopback sends, takes or echoes.  It is reached directly; through a copier (one
 * process, poll(2), 64 KiB at a time) and socat, both behind a Unix socket as guestd is; and through
 * net.dial.  And how soon it is known that a port was opened, beside a look a second.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "bench/daemons.h"

#define MIB      (1u << 20)
#define CHUNK    (64u << 10)
#define WINDOW   (4 * MIB)
#define PER_MIBS (1e6 / MIB)

/* What the server is asked for, by the first byte. */
enum { SEND = 's', TAKE = 't', ECHO = 'e' };

static struct {
	struct sockaddr_in server;
	char *copier, *socat; /* paths of their sockets; socat NULL: it is not here */
	pid_t server_pid, copier_pid, socat_pid;
	struct client *client;
	uint64_t bytes;
	char *buffer;
} net;

static int listen_on(int family, const struct sockaddr *addr, socklen_t len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, addr, len) < 0 || listen(fd, 64) < 0)
		give_up("cannot listen: %m");
	return fd;
}

static void no_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int connect_to(int family, const struct sockaddr *addr, socklen_t len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, addr, len) < 0)
		give_up("cannot connect: %m");
	if (family == AF_INET)
		no_delay(fd);
	return fd;
}

static int connect_server(void)
{
	return connect_to(AF_INET, (struct sockaddr *)&net.server, sizeof(net.server));
}

static struct sockaddr_un unix_addr(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	return addr;
}

static int connect_unix(const char *path)
{
	struct sockaddr_un addr = unix_addr(path);

	return connect_to(AF_UNIX, (struct sockaddr *)&addr, sizeof(addr));
}

/* The server: one process for each connection. */

static void serve(int fd)
{
	char *bytes = xmalloc(CHUNK), what;
	ssize_t n;

	memset(bytes, 'x', CHUNK);
	no_delay(fd);
	read_all(fd, &what, 1);
	if (what == SEND) {
		for (uint64_t left = net.bytes; left; left -= MIN(left, CHUNK))
			write_all(fd, bytes, MIN(left, CHUNK));
	} else if (what == TAKE) {
		for (uint64_t left = net.bytes; left; left -= (uint64_t)n) {
			n = read(fd, bytes, CHUNK);
			if (n <= 0)
				return;
		}
		write_all(fd, bytes, 1);
	} else {
		while ((n = read(fd, bytes, CHUNK)) > 0)
			write_all(fd, bytes, (size_t)n);
	}
}

/* In a process of its own, each connection too. */
static pid_t start(int listener, void (*fn)(int fd))
{
	pid_t pid = fork();

	if (pid) {
		close(listener);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd >= 0 && fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			fn(fd);
			_exit(0);
		}
		close(fd);
	}
}

/* The copier: both ways, until either side ends. */
static void copy(int fd)
{
	int server = connect_server();
	struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = server, .events = POLLIN}};

	for (;;) {
		poll(p, ARRAY_LEN(p), -1);
		for (int i = 0; i < 2; i++) {
			ssize_t n = p[i].revents ? read(p[i].fd, net.buffer, CHUNK) : -1;

			if (n == 0)
				return;
			if (n > 0)
				write_all(p[!i].fd, net.buffer, (size_t)n);
		}
	}
}

static pid_t start_socat(void)
{
	char from[200], to[60];
	pid_t pid;

	net.socat = xasprintf("%s/socat.sock", files_dir());
	snprintf(from, sizeof(from), "UNIX-LISTEN:%s,fork", net.socat);
	snprintf(to, sizeof(to), "TCP:127.0.0.1:%u,nodelay", ntohs(net.server.sin_port));
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execlp("socat", "socat", "-b", "65536", from, to, NULL);
		_exit(127);
	}
	for (int i = 0; i < 200; i++) {
		struct timespec pause = {.tv_nsec = 10000000};

		if (access(net.socat, F_OK) == 0)
			return pid;
		nanosleep(&pause, NULL);
	}
	free(net.socat);
	net.socat = NULL;
	return pid;
}

/* Contestants over a descriptor */

enum { DIRECT, COPIER, SOCAT };

static int reach(unsigned how)
{
	return how == DIRECT ? connect_server()
			     : connect_unix(how == COPIER ? net.copier : net.socat);
}

static void fd_rate(struct contestant *c, struct samples *results)
{
	double from = now_us();
	char what = *c->program;
	int fd = reach(c->width);
	uint64_t left = net.bytes;

	write_all(fd, &what, 1);
	while (left) {
		ssize_t n = what == SEND ? read(fd, net.buffer, CHUNK)
					 : write(fd, net.buffer, MIN(left, CHUNK));

		if (n <= 0)
			give_up("%s: %m", c->name);
		left -= (uint64_t)n;
	}
	if (what == TAKE)
		read_all(fd, &what, 1);
	close(fd);
	samples_add(results, (double)net.bytes * PER_MIBS / (now_us() - from));
}

static void fd_times(struct contestant *c, struct samples *results)
{
	char what = ECHO;
	int fd = reach(c->width);

	write_all(fd, &what, 1);
	for (uint64_t i = 0; i < c->count; i++) {
		double from = now_us();

		write_all(fd, &what, 1);
		read_all(fd, &what, 1);
		samples_add(results, now_us() - from);
	}
	close(fd);
}

/* Contestants over guestd */

static uint32_t dial(char what)
{
	uint32_t id;
	struct enc *e = client_begin(net.client, "net.dial", &id);

	enc_map_end(e, enc_map_begin(e), 1);
	enc_kv_uint(e, "port", ntohs(net.server.sin_port));
	if (client_send(net.client) < 0 || client_data(net.client, id, 0, &what, 1) < 0)
		give_up("net.dial: %s", client_why(net.client));
	return id;
}

/* The next message with data, whose length is returned. */
static size_t next_data(int timeout_ms)
{
	struct client_msg msg;
	int r;

	do {
		r = client_next(net.client, timeout_ms, &msg);
		if (r < 0)
			give_up("net.dial: %s", client_why(net.client));
		if (r && msg.type == MSG_RESPONSE) {
			guestd_succeeded(&msg, "net.dial");
			give_up("net.dial: the server ended");
		}
	} while (r && msg.type != MSG_DATA);
	return r ? msg.len : 0;
}

static void hang_up(uint32_t id)
{
	struct client_msg msg;

	if (client_cancel(net.client, id) < 0 || client_response(net.client, id, -1, &msg) < 0)
		give_up("net.dial: %s", client_why(net.client));
}

static void guestd_rate(struct contestant *c, struct samples *results)
{
	double from = now_us();
	char what = *c->program;
	uint32_t id = dial(what);
	uint64_t left = net.bytes;

	while (what == SEND && left)
		left -= next_data(-1);
	while (left) {
		size_t room = MIN(client_room(net.client, id), MIN(left, CHUNK));
		struct client_msg msg;

		if (!room && client_next(net.client, -1, &msg) < 0)
			give_up("net.dial: %s", client_why(net.client));
		if (room && client_data(net.client, id, 0, net.buffer, room) < 0)
			give_up("net.dial: %s", client_why(net.client));
		left -= room;
	}
	if (what == TAKE)
		next_data(-1);
	samples_add(results, (double)net.bytes * PER_MIBS / (now_us() - from));
	hang_up(id);
}

static void guestd_times(struct contestant *c, struct samples *results)
{
	uint32_t id = dial(ECHO);

	for (uint64_t i = 0; i < c->count; i++) {
		double from = now_us();

		if (client_data(net.client, id, 0, "x", 1) < 0)
			give_up("net.dial: %s", client_why(net.client));
		next_data(-1);
		samples_add(results, now_us() - from);
	}
	hang_up(id);
}

static void print_rates(const struct options *o, char what, const char *title)
{
	char program[] = {what, '\0'};
	struct contestant cs[] = {
		{.name = "straight to the server", .run = fd_rate, .width = DIRECT},
		{.name = "a copier of 64 KiB", .run = fd_rate, .width = COPIER},
		{.name = "guestd net.dial", .run = guestd_rate, .daemon = guestd_pid()},
		{.name = "socat -b 65536", .run = fd_rate, .width = SOCAT},
	};
	size_t n = ARRAY_LEN(cs) - !net.socat;

	for (size_t i = 0; i < n; i++) {
		cs[i].program = program;
		cs[i].count = net.bytes;
	}
	contest(cs, n, o->rounds > 7 ? 7 : o->rounds);
	printf("\n%s, %4llu MiB, MiB/s   median   daemon's CPU, us/MiB   of the copier   goal\n",
		title, (unsigned long long)(net.bytes / MIB));
	for (size_t i = 0; i < n; i++) {
		printf("  %-36s %7.0f", cs[i].name, samples_quantile(&cs[i].all, 0.5));
		if (cs[i].daemon)
			printf("   %20.1f   %13.2f   >= 0.70",
				samples_quantile(&cs[i].cpu, 0.5) * MIB,
				contest_ratio(&cs[i], &cs[1]));
		puts("");
	}
	contest_free(cs, n);
}

static void print_times(const struct options *o)
{
	struct contestant cs[] = {
		{.name = "straight to the server", .run = fd_times, .width = DIRECT},
		{.name = "a copier", .run = fd_times, .width = COPIER},
		{.name = "guestd net.dial", .run = guestd_times, .daemon = guestd_pid()},
		{.name = "socat", .run = fd_times, .width = SOCAT},
	};
	size_t n = ARRAY_LEN(cs) - !net.socat;

	for (size_t i = 0; i < n; i++)
		cs[i].count = o->quick ? 500 : 2000;
	contest(cs, n, o->rounds);
	puts("\na byte to a server and back, us          median      p99   daemon's CPU   of the copier");
	for (size_t i = 0; i < n; i++) {
		printf("  %-36s %8.1f %8.1f", cs[i].name, samples_quantile(&cs[i].all, 0.5),
			samples_quantile(&cs[i].all, 0.99));
		if (cs[i].daemon)
			printf("   %12.1f   %13.2f", samples_quantile(&cs[i].cpu, 0.5),
				contest_ratio(&cs[i], &cs[1]));
		puts("");
	}
	contest_free(cs, n);
}

/* Ports */

static int open_port(uint64_t *port)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(addr);
	int fd = listen_on(AF_INET, (struct sockaddr *)&addr, sizeof(addr));

	getsockname(fd, (struct sockaddr *)&addr, &len);
	*port = ntohs(addr.sin_port);
	return fd;
}

/* The event about PORT, of that type. */
static void await(const char *type, uint64_t port)
{
	const char *text;
	uint64_t which;
	size_t len;

	for (;;) {
		struct client_msg msg;

		if (client_next(net.client, -1, &msg) <= 0)
			give_up("net.watch: %s", client_why(net.client));
		if (msg.type == MSG_EVENT && val_uint(val_get(msg.event, "port"), &which) &&
			which == port && val_bytes(val_get(msg.event, "type"), &text, &len) &&
			len == strlen(type) && memcmp(text, type, len) == 0)
			return;
	}
}

static void sleep_ms(long ms)
{
	struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&pause, NULL);
}

/* PAUSE_MS between two: past 10 s of quiet the agent looks less often. */
static void port_times(unsigned n, long pause_ms, const char *name)
{
	struct samples opened = {.n = 0}, closed = {.n = 0};

	for (unsigned i = 0; i < n; i++) {
		uint64_t port;
		double from;
		int fd;

		sleep_ms(pause_ms + 7 * i % 50);
		fd = open_port(&port);
		from = now_us();
		await("opened", port);
		samples_add(&opened, (now_us() - from) / 1e3);
		sleep_ms(7 * i % 50);
		from = now_us();
		close(fd);
		await("closed", port);
		samples_add(&closed, (now_us() - from) / 1e3);
	}
	printf("  %-36s %8.1f %8.1f   %8.1f %8.1f   <= 60\n", name, samples_quantile(&opened, 0.5),
		samples_quantile(&opened, 0.99), samples_quantile(&closed, 0.5),
		samples_quantile(&closed, 0.99));
	samples_free(&opened);
	samples_free(&closed);
}

static void print_ports(const struct options *o)
{
	struct client_msg ready;
	uint32_t id;
	double cpu;

	puts("\na port that opens and closes, ms        opened      p99     closed      p99   goal");
	puts("  a look a second (computed)              500.0    990.0      500.0    990.0");
	if (client_request(net.client, "net.watch", &id) < 0)
		give_up("net.watch: %s", client_why(net.client));
	if (client_next(net.client, -1, &ready) <= 0 || ready.type != MSG_EVENT)
		give_up("net.watch: %s", client_why(net.client));
	port_times(o->quick ? 20 : 100, 0, "guestd net.watch, busy");
	sleep_ms(10500);
	cpu = cpu_us(guestd_pid());
	sleep_ms(3000);
	cpu = (cpu_us(guestd_pid()) - cpu) / 3;
	port_times(1, 0, "guestd net.watch, after 10 s of quiet");
	printf("  the daemon's CPU while it watches and nothing happens: %.0f us a second\n", cpu);
	hang_up(id);
}

void bench_net(const struct options *o)
{
	struct sockaddr_un copier;
	socklen_t len = sizeof(net.server);
	int listener;

	net.server = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	net.bytes = (o->quick ? 128 : 512) * (uint64_t)MIB;
	net.buffer = xmalloc(CHUNK);
	memset(net.buffer, 'x', CHUNK);
	listener = listen_on(AF_INET, (struct sockaddr *)&net.server, sizeof(net.server));
	getsockname(listener, (struct sockaddr *)&net.server, &len);
	net.server_pid = start(listener, serve);
	net.copier = xasprintf("%s/copier.sock", files_dir());
	copier = unix_addr(net.copier);
	net.copier_pid =
		start(listen_on(AF_UNIX, (struct sockaddr *)&copier, sizeof(copier)), copy);
	net.socat_pid = start_socat();
	net.client = guestd_client(WINDOW);

	print_rates(o, SEND, "from a server through a tunnel");
	print_rates(o, TAKE, "to a server through a tunnel  ");
	print_times(o);
	print_ports(o);

	client_close(net.client);
	kill(net.server_pid, SIGKILL);
	kill(net.copier_pid, SIGKILL);
	kill(net.socat_pid, SIGTERM);
	waitpid(net.server_pid, NULL, 0);
	waitpid(net.copier_pid, NULL, 0);
	waitpid(net.socat_pid, NULL, 0);
	unlink(net.copier);
	if (net.socat)
		unlink(net.socat);
	free(net.copier);
	free(net.socat);
	free(net.buffer);
}
