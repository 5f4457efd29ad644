/* bench/watch.c - who tells of changes: how soon it can, how fast it does, what it loses and what it costs */
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/mem.h"
#include "bench/daemons.h"

#define PER_DIR  10  /* files in a directory: what a checkout of sources has */
#define SILENT_S 5   /* what has not been told of after that long is lost */
#define MARK     '~' /* in the names that events are counted by */

/*
 * Somebody who watches.  Each has one connection to the bench: bytes, in which names are counted, or
 * messages.
 */
struct watcher {
	/* Watches ROOT, and returns as soon as no change is missed any more. */
	void (*open)(struct watcher *w, const char *root);
	void (*close)(struct watcher *w);
	struct client *client; /* of guestd; or NULL, and names are counted in what FD says */
	pid_t daemon;          /* lives longer than a watch; or 0, and PID is the watch */
	pid_t pid;
	int fd;
	uint32_t call;
	uint64_t lost; /* of all bursts */
	bool overflow;
};

enum { BARE, GUESTD, FANOTIFY, INOTIFYWAIT, WATCHMAN, N_WATCHERS };

static struct watcher watchers[N_WATCHERS];
static char *top, *notify_program;

/* -- those of bytes ----------------------------------------------------------------------------- */

/* Starts ARGV with its output, and its errors too, at the other end of the socket W->FD. */
static void run_program(struct watcher *w, const char *const argv[])
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		give_up("no socket pair: %m");
	w->pid = fork();
	if (w->pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		execvp(argv[0], (char *const *)argv);
		fprintf(stderr, "%s: %m\n", argv[0]);
		_exit(127);
	}
	close(ends[1]);
	w->fd = ends[0];
}

static size_t read_some(struct watcher *w, char *bytes, size_t max)
{
	ssize_t n = read(w->fd, bytes, max);

	if (n <= 0)
		give_up("a watcher ended early");
	return (size_t)n;
}

/* Reads up to TEXT, a byte at a time: what follows is counted. */
static void expect(struct watcher *w, const char *text)
{
	char said[4096];
	size_t len = 0;

	do {
		if (len == sizeof(said) - 1)
			len = 0;
		len += read_some(w, said + len, 1);
		said[len] = '\0';
	} while (!strstr(said, text));
}

static bool is_installed(const char *program)
{
	struct watcher w;
	int status = 0;

	run_program(&w, (const char *[]){program, "--help", NULL});
	close(w.fd);
	return waitpid(w.pid, &status, 0) == w.pid &&
	       !(WIFEXITED(status) && WEXITSTATUS(status) == 127);
}

static void bare_open(struct watcher *w, const char *root)
{
	run_program(w, (const char *[]){notify_program, root, NULL});
	expect(w, "ready\n");
}

static void inotifywait_open(struct watcher *w, const char *root)
{
	run_program(
		w, (const char *[]){"inotifywait", "-m", "-r", "-e", "create", "-e", "modify", "-e",
			   "delete", "-e", "move", "-e", "attrib", "--format", "%f", root, NULL});
	expect(w, "established.\n");
}

static void program_close(struct watcher *w)
{
	kill(w->pid, SIGKILL);
	waitpid(w->pid, NULL, 0);
	fd_close(&w->fd);
	w->pid = 0;
}

/* -- watchman ------------------------------------------------------------------------------------ */

static void ask_watchman(struct watcher *w, const char *request, const char *root, const char *rest)
{
	char line[512];
	int len = snprintf(line, sizeof(line), "[\"%s\",\"%s\"%s]\n", request, root, rest);

	write_all(w->fd, line, (size_t)len);
	expect(w, "}\n");
}

static void watchman_open(struct watcher *w, const char *root)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.60s/watchman", socket_dir());
	w->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (w->fd < 0 || connect(w->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		give_up("watchman: %m");
	ask_watchman(w, "watch", root, "");
	/* Answered when it has seen the tree: with no file, for one cursor after the other. */
	ask_watchman(w, "query", root,
		",{\"fields\":[\"name\"],\"expression\":[\"name\",\"none\"],\"since\":\"n:b\"}");
	ask_watchman(w, "subscribe", root,
		",\"bench\",{\"fields\":[\"name\"],\"expression\":[\"match\",\"*~*\"]}");
}

static void watchman_close(struct watcher *w)
{
	ask_watchman(w, "watch-del", top, "");
	fd_close(&w->fd);
}

/* Whether there is one. */
static bool watchman_start(struct watcher *w)
{
	char *socket = xasprintf("--sockname=%s/watchman", socket_dir());
	char *log = xasprintf("--logfile=%s/watchman.log", socket_dir());
	char *pid = xasprintf("--pidfile=%s/watchman.pid", socket_dir());
	int ready = -1;

	run_program(w, (const char *[]){"watchman", "--foreground", "--no-save-state", socket, log,
			       pid, NULL});
	w->daemon = w->pid; /* what it says goes nowhere, and its descriptor stays */
	for (unsigned i = 0; i < 100 && ready < 0; i++) {
		ready = access(strchr(socket, '=') + 1, F_OK);
		poll(NULL, 0, 20);
	}
	free(socket);
	free(log);
	free(pid);
	return ready == 0 && waitpid(w->pid, NULL, WNOHANG) == 0;
}

/* -- guestd -------------------------------------------------------------------------------------- */

static bool hear(struct watcher *w, int timeout_ms, struct client_msg *msg)
{
	int n;

	do {
		n = client_next(w->client, timeout_ms, msg);
		if (n < 0)
			give_up("fs.watch: %s", client_why(w->client));
		if (n > 0 && msg->type == MSG_RESPONSE && msg->id == w->call) {
			guestd_succeeded(msg, "fs.watch");
			give_up("fs.watch ended by itself");
		}
	} while (n > 0 && (msg->type != MSG_EVENT || msg->id != w->call));
	return n > 0;
}

static bool is_type(const struct client_msg *msg, const char *type)
{
	const char *text;
	size_t len;

	return val_bytes(val_get(msg->event, "type"), &text, &len) && len == strlen(type) &&
	       memcmp(text, type, len) == 0;
}

static void guestd_open(struct watcher *w, const char *root)
{
	struct enc *e = client_begin(w->client, "fs.watch", &w->call);
	struct client_msg msg;

	enc_map_end(e, enc_map_begin(e), 2);
	enc_kv_str(e, "path", root);
	enc_kv_uint(e, "coalesce_ms", 0);
	if (client_send(w->client) < 0)
		give_up("fs.watch: %s", client_why(w->client));
	do {
		if (!hear(w, -1, &msg))
			give_up("fs.watch says nothing");
	} while (!is_type(&msg, "ready"));
}

static void guestd_close(struct watcher *w)
{
	struct client_msg msg;

	if (client_cancel(w->client, w->call) < 0 ||
		client_response(w->client, w->call, -1, &msg) < 0)
		give_up("fs.watch: %s", client_why(w->client));
}

/* -- all of them --------------------------------------------------------------------------------- */

/* How many changes of names with a mark were told of; waits for some, but not longer than TIMEOUT_MS. */
static uint64_t count_changes(struct watcher *w, int timeout_ms)
{
	static char bytes[1 << 16];
	uint64_t count = 0;
	size_t len;

	if (w->client) {
		struct client_msg msg;

		if (!hear(w, timeout_ms, &msg))
			return 0;
		w->overflow |= is_type(&msg, "overflow");
		return is_type(&msg, "created") || is_type(&msg, "modified");
	}
	if (poll(&(struct pollfd){.fd = w->fd, .events = POLLIN}, 1, timeout_ms) <= 0)
		return 0;
	len = read_some(w, bytes, sizeof(bytes));
	for (size_t i = 0; i < len; i++)
		count += bytes[i] == MARK;
	return count;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* N files, PER_DIR of them in each of N / PER_DIR directories, a hundred of those in one. */
static void make_tree(uint64_t n)
{
	char path[200];

	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	if (mkdir(top, 0755) < 0)
		give_up("%s: %m", top);
	for (uint64_t i = 0; i < n; i++) {
		unsigned long long dir = i / PER_DIR;
		int fd;

		if (i % (100ul * PER_DIR) == 0) {
			snprintf(path, sizeof(path), "%s/%llu", top, dir / 100);
			if (mkdir(path, 0755) < 0)
				give_up("%s: %m", path);
		}
		if (i % PER_DIR == 0) {
			snprintf(path, sizeof(path), "%s/%llu/%llu", top, dir / 100, dir % 100);
			if (mkdir(path, 0755) < 0)
				give_up("%s: %m", path);
		}
		snprintf(path, sizeof(path), "%s/%llu/%llu/file-%llu.c", top, dir / 100, dir % 100,
			(unsigned long long)i);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0)
			give_up("%s: %m", path);
		close(fd);
	}
}

static void set_up(struct contestant *c, struct samples *results)
{
	struct watcher *w = &watchers[c->width];
	double from = now_us();

	w->open(w, top);
	samples_add(results, (now_us() - from) / 1e3);
	w->close(w);
}

static long anonymous_kib(pid_t pid)
{
	char path[64], text[8192];
	const char *line;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	if (fd_read_file(path, text, sizeof(text)) < 0)
		return 0;
	line = strstr(text, "RssAnon");
	return line ? strtol(line + strlen("RssAnon:"), NULL, 10) : 0;
}

/* Bytes of memory for each file of the tree. */
static double memory(struct watcher *w, uint64_t files)
{
	long before = w->daemon ? anonymous_kib(w->daemon) : 0, after;

	w->open(w, top);
	after = anonymous_kib(w->daemon ? w->daemon : w->pid);
	w->close(w);
	return (double)(after - before) * 1024 / (double)files;
}

/* A byte is written to a file that is open; how long until it is told of? */
static void latency(struct contestant *c, struct samples *results)
{
	struct watcher *w = &watchers[c->width];
	cpu_set_t all, other;
	char *path = xasprintf("%s/0/0/file%c", top, MARK);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	w->open(w, top);
	if (!w->daemon && sched_getaffinity(getppid(), sizeof(all), &all) == 0 &&
		nth_cpu(&all, 1, &other))
		pin(w->pid, &other);
	for (uint64_t i = 0; i < c->count; i++) {
		double from;

		/* Whoever is slow may still tell of the one before. */
		while (count_changes(w, 1))
			;
		from = now_us();
		if (pwrite(fd, "x", 1, 0) != 1)
			give_up("%s: %m", path);
		if (!count_changes(w, SILENT_S * 1000))
			give_up("a change was not told of");
		samples_add(results, now_us() - from);
	}
	w->close(w);
	close(fd);
	unlink(path);
	free(path);
}

/* A process makes files as fast as it can; until all are told of. */
static void burst(struct contestant *c, struct samples *results)
{
	struct watcher *w = &watchers[c->width];
	double from, last;
	uint64_t seen = 0;
	pid_t pid;

	make_tree(0);
	w->open(w, top);
	last = from = now_us();
	pid = fork();
	if (pid == 0) {
		int dir = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);

		for (uint64_t i = 0; i < c->count; i++) {
			char name[32];

			snprintf(name, sizeof(name), "n%c%llu", MARK, (unsigned long long)i);
			if (mknodat(dir, name, S_IFREG | 0644, 0) < 0)
				_exit(1);
		}
		_exit(0);
	}
	while (seen < c->count && now_us() - last < SILENT_S * 1e6) {
		uint64_t n = count_changes(w, SILENT_S * 1000);

		seen += n;
		if (n)
			last = now_us();
	}
	waitpid(pid, NULL, 0);
	samples_add(results, (last - from) / 1e3);
	w->lost += seen < c->count ? c->count - seen : 0;
	w->close(w);
}

static void run(const struct options *o, struct contestant *cs, size_t n, uint64_t count,
	void (*what)(struct contestant *c, struct samples *results), unsigned rounds)
{
	(void)o;
	for (size_t i = 0; i < n; i++) {
		cs[i].run = what;
		cs[i].count = count;
		cs[i].daemon = watchers[cs[i].width].daemon;
	}
	contest(cs, n, rounds);
}

static void report(const char *head, struct contestant *cs, size_t n, const char *goal)
{
	printf("\n%-42s     median      p99   of bare   %s\n", head, *goal ? "goal" : "");
	for (size_t i = 0; i < n; i++) {
		printf("  %-40s %10.1f %8.1f", cs[i].name, samples_quantile(&cs[i].all, 0.5),
			samples_quantile(&cs[i].all, 0.99));
		if (i)
			printf("   %7.2f   %s", contest_ratio(&cs[i], &cs[0]),
				cs[i].width == GUESTD ? goal : "");
		puts("");
	}
	contest_free(cs, n);
}

static void set_ups(const struct options *o, struct contestant *cs, size_t n, uint64_t files)
{
	char head[80];

	make_tree(files);
	run(o, cs, n, files, set_up, o->quick ? 3 : 5);
	snprintf(head, sizeof(head), "set-up, %llu files, %llu directories, ms",
		(unsigned long long)files, (unsigned long long)(files / PER_DIR));
	report(head, cs, n, "<= 1.3");
}

static void latencies(const struct options *o, struct contestant *cs, size_t n)
{
	cpu_set_t all, first, other;

	make_tree(1000);
	if (sched_getaffinity(0, sizeof(all), &all) < 0 || !nth_cpu(&all, 0, &first))
		give_up("no processor: %m");
	if (nth_cpu(&all, 1, &other)) {
		pin(0, &first);
		for (size_t i = 0; i < N_WATCHERS; i++) {
			if (watchers[i].daemon)
				pin(watchers[i].daemon, &other);
		}
	}
	run(o, cs, n, o->quick ? 50 : 200, latency, o->quick ? 3 : 11);
	report("write to event, between two CPUs, us", cs, n, "<= 1.5");
	pin(0, &all);
	for (size_t i = 0; i < N_WATCHERS; i++) {
		if (watchers[i].daemon)
			pin(watchers[i].daemon, &all);
	}
}

void bench_watch(const struct options *o)
{
	struct contestant cs[N_WATCHERS] = {{.name = "inotify and a socket", .width = BARE},
		{.name = "guestd fs.watch, inotify", .width = GUESTD}};
	uint64_t files = o->quick ? 20000 : 100000, creates = o->quick ? 20000 : 100000;
	char head[80];
	size_t n = 2;

	top = xasprintf("%s/watched", files_dir());
	notify_program = o->notify;
	watchers[BARE] = (struct watcher){.open = bare_open, .close = program_close};
	watchers[GUESTD] = (struct watcher){.open = guestd_open,
		.close = guestd_close,
		.client = guestd_client(0),
		.daemon = guestd_pid()};
	if (geteuid() == 0) {
		struct watcher *w = &watchers[FANOTIFY];

		*w = (struct watcher){.open = guestd_open, .close = guestd_close};
		w->client = guestd_other(o, "--watch-backend", "fanotify", &w->daemon);
		cs[n++] =
			(struct contestant){.name = "guestd fs.watch, fanotify", .width = FANOTIFY};
	}
	watchers[INOTIFYWAIT] = (struct watcher){.open = inotifywait_open, .close = program_close};
	if (is_installed("inotifywait"))
		cs[n++] = (struct contestant){.name = "inotifywait -m -r", .width = INOTIFYWAIT};
	watchers[WATCHMAN] = (struct watcher){.open = watchman_open, .close = watchman_close};
	if (watchman_start(&watchers[WATCHMAN]))
		cs[n++] = (struct contestant){.name = "watchman", .width = WATCHMAN};

	set_ups(o, cs, n, 20000);
	if (!o->quick)
		set_ups(o, cs, n, files);
	printf("\nbytes of memory for each of %llu files, a directory to %d\n",
		(unsigned long long)files, PER_DIR);
	for (size_t i = 0; i < n; i++)
		printf("  %-40s %10.0f\n", cs[i].name, memory(&watchers[cs[i].width], files));
	latencies(o, cs, n);
	run(o, cs, n, creates, burst, 3);
	snprintf(head, sizeof(head), "%llu creates in a burst, all told of, ms",
		(unsigned long long)creates);
	report(head, cs, n, "");
	for (size_t i = 0; i < n; i++)
		printf("  %-40s %10llu lost%s\n", cs[i].name,
			(unsigned long long)watchers[cs[i].width].lost,
			watchers[cs[i].width].overflow ? ", and found again after an overflow"
						       : "");

	client_close(watchers[GUESTD].client);
	if (watchers[FANOTIFY].client) {
		client_close(watchers[FANOTIFY].client);
		guestd_other_stop(&watchers[FANOTIFY].daemon);
	}
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(top);
}
