/* bench/daemons.c - the daemons under test, and a supervisor that leaves nothing of them behind */
#include "bench/daemons.h"

#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/mem.h"

#define START_MS 5000
#define STOP_MS  8000

#define MEMORY "/dev/shm"

static char dir[64];   /* sockets, run directories, logs */
static char files[64]; /* what is read and written */
static pid_t minimals[2] = {-1, -1}, guestd = -1;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

/* Every child there is, ours by birth or by being orphaned. */
static void kill_children(int sig)
{
	char path[64], list[4096], *p = list;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	if (fd_read_file(path, list, sizeof(list)) < 0)
		return;
	for (long pid; (pid = strtol(p, &p, 10)) > 0;)
		kill((pid_t)pid, sig);
}

static void clean_up(void)
{
	double from = now_us();
	int sig = SIGTERM;

	kill_children(sig);
	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid < 0)
			break;
		if (pid > 0)
			continue;
		if (now_us() - from > STOP_MS * 1e3)
			sig = SIGKILL;
		if (sig == SIGKILL)
			kill_children(sig);
		poll(NULL, 0, 10);
	}
	nftw(files, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void supervise(void)
{
	const char *tmp = getenv("TMPDIR");
	sigset_t set, old;
	int status = 0, sig;
	pid_t worker, pid;

	if (snprintf(dir, sizeof(dir), "%s/guestd-bench-XXXXXX", tmp ? tmp : "/tmp") >=
		(int)sizeof(dir))
		give_up("TMPDIR is too long for a socket's path");
	if (!mkdtemp(dir))
		give_up("no directory %s: %m", dir);
	snprintf(files, sizeof(files), MEMORY "/guestd-bench-XXXXXX");
	if (!mkdtemp(files) &&
		(snprintf(files, sizeof(files), "%.50s/files", dir) < 0 || mkdir(files, 0700) < 0))
		give_up("no directory %s: %m", files);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &old);
	worker = fork();
	if (worker == 0) {
		sigprocmask(SIG_SETMASK, &old, NULL);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		return;
	}
	if (worker < 0)
		give_up("no process: %m");
	for (;;) {
		pid = waitpid(-1, &status, WNOHANG);
		if (pid == worker)
			break;
		if (pid > 0)
			continue;
		if (sigwait(&set, &sig) == 0 && sig != SIGCHLD)
			kill(worker, SIGKILL);
	}
	clean_up();
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static char *in_dir(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static int connect_to(const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.60s/%.40s", dir, name);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		fd_close(&fd);
	return fd;
}

static pid_t start(const char *name, char *const argv[])
{
	char *log = in_dir("log");
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR),
		    out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);

		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(null, STDIN_FILENO);
		dup2(out, STDOUT_FILENO);
		dup2(out, STDERR_FILENO);
		close(null);
		close(out);
		execv(argv[0], argv);
		fprintf(stderr, "%s: %m\n", argv[0]);
		_exit(127);
	}
	for (double from = now_us(); pid > 0 && now_us() - from < START_MS * 1e3;) {
		int fd = connect_to(name);

		if (fd >= 0) {
			close(fd);
			free(log);
			return pid;
		}
		if (waitpid(pid, NULL, WNOHANG) == pid)
			break;
		poll(NULL, 0, 5);
	}
	{
		char said[2048] = "";

		if (fd_read_file(log, said, sizeof(said)) < 0)
			snprintf(said, sizeof(said), "nothing");
		give_up("%s does not answer; it said: %s", argv[0], said);
	}
}

static void stop(pid_t *pid, const char *name)
{
	int status = 0;
	pid_t gone = 0;

	if (*pid <= 0)
		return;
	kill(*pid, SIGTERM);
	for (double from = now_us(); gone == 0 && now_us() - from < STOP_MS * 1e3;) {
		gone = waitpid(*pid, &status, WNOHANG);
		if (gone == 0)
			poll(NULL, 0, 5);
	}
	if (gone == 0)
		printf("note: %s did not end within %d s of SIGTERM\n", name, STOP_MS / 1000);
	*pid = -1;
}

void daemons_start(const struct options *o)
{
	char *sockets[] = {in_dir("minimal"), in_dir("minimal-vfork")}, *run_dir = in_dir("run");
	char *listen_at = xasprintf("unix:%s/guestd", dir), *program = xstrdup(o->guestd);
	char vfork_option[] = "vfork", listen_option[] = "--listen", run_option[] = "--run-dir";

	minimals[0] = start("minimal", (char *[]){o->minimal, sockets[0], NULL});
	minimals[1] =
		start("minimal-vfork", (char *[]){o->minimal, sockets[1], vfork_option, NULL});
	guestd = start(
		"guestd", (char *[]){program, listen_option, listen_at, run_option, run_dir, NULL});
	free(sockets[0]);
	free(sockets[1]);
	free(run_dir);
	free(listen_at);
	free(program);
}

void daemons_stop(void)
{
	stop(&guestd, "guestd");
	stop(&minimals[0], "the minimal agent");
	stop(&minimals[1], "the minimal agent");
}

pid_t minimal_pid(bool vfork)
{
	return minimals[vfork];
}

pid_t guestd_pid(void)
{
	return guestd;
}

int minimal_connect(bool vfork)
{
	int fd = connect_to(vfork ? "minimal-vfork" : "minimal");

	if (fd < 0)
		give_up("no connection to the minimal agent: %m");
	return fd;
}

int guestd_connect(void)
{
	int fd = connect_to("guestd");

	if (fd < 0)
		give_up("no connection to guestd: %m");
	return fd;
}

struct client *guestd_client(uint32_t window)
{
	const struct client_hello hello = {.name = "bench", .window = window};
	struct client *c = client_new(guestd_connect());
	struct client_msg msg;

	if (client_hello(c, &hello, START_MS, &msg) < 0 || msg.error)
		give_up("hello: %s", client_why(c));
	return c;
}

struct client *guestd_other(
	const struct options *o, const char *option, const char *value, pid_t *pid)
{
	char *listen_at = xasprintf("unix:%s/other", dir), *run_dir = in_dir("run-other");
	char *args[] = {xstrdup(o->guestd), xstrdup("--listen"), listen_at, xstrdup("--run-dir"),
		run_dir, xstrdup(option), xstrdup(value), NULL};
	const struct client_hello hello = {.name = "bench"};
	struct client_msg msg;
	struct client *c;

	*pid = start("other", args);
	for (size_t i = 0; args[i]; i++)
		free(args[i]);
	c = client_new(connect_to("other"));
	if (client_hello(c, &hello, START_MS, &msg) < 0 || msg.error)
		give_up("hello: %s", client_why(c));
	return c;
}

void guestd_other_stop(pid_t *pid)
{
	stop(pid, "the other guestd");
}

uint32_t guestd_exec(struct client *c, const char *program, const char *argument)
{
	uint32_t id;
	struct enc *e = client_begin(c, "proc.exec", &id);
	size_t map = enc_map_begin(e);

	enc_str(e, "argv");
	enc_array(e, argument ? 2 : 1);
	enc_str(e, program);
	if (argument)
		enc_str(e, argument);
	enc_map_end(e, map, 1);
	if (client_send(c) < 0)
		give_up("proc.exec: %s", client_why(c));
	return id;
}

void guestd_succeeded(const struct client_msg *msg, const char *method)
{
	const char *text = "?";
	size_t len = 1;

	if (!msg->error)
		return;
	val_bytes(val_get(msg->error, "message"), &text, &len);
	give_up("%s: %.*s", method, (int)len, text);
}

void guestd_exited(const struct client_msg *msg)
{
	int64_t code;

	guestd_succeeded(msg, "proc.exec");
	if (!val_int(val_get(msg->result, "code"), &code) || code != 0)
		give_up("proc.exec: the program failed");
}

uint32_t guestd_start(struct client *c, const char *program, const char *id)
{
	uint32_t call;
	struct enc *e = client_begin(c, "proc.start", &call);
	size_t map = enc_map_begin(e);

	enc_str(e, "argv");
	enc_array(e, 1);
	enc_str(e, program);
	enc_kv_str(e, "id", id);
	enc_kv_str(e, "label", "bench");
	enc_map_end(e, map, 3);
	if (client_send(c) < 0)
		give_up("proc.start: %s", client_why(c));
	return call;
}

uint32_t guestd_stop(struct client *c, const char *key, const char *name)
{
	uint32_t call;
	struct enc *e = client_begin(c, "proc.stop", &call);
	size_t map = enc_map_begin(e);

	enc_kv_str(e, key, name);
	enc_map_end(e, map, 1);
	if (client_send(c) < 0)
		give_up("proc.stop: %s", client_why(c));
	return call;
}

void guestd_answered(struct client *c, uint32_t call, const char *method)
{
	struct client_msg msg;

	if (client_response(c, call, -1, &msg) < 0)
		give_up("%s: %s", method, client_why(c));
	guestd_succeeded(&msg, method);
}

long guestd_memory(const char *key)
{
	char path[64], text[8192];
	const char *line;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)guestd);
	if (fd_read_file(path, text, sizeof(text)) < 0)
		return 0;
	line = strstr(text, key);
	return line ? strtol(line + strlen(key) + 1, NULL, 10) : 0;
}

void guestd_forget_peak(void)
{
	char path[64];
	cleanup_fd int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/clear_refs", (int)guestd);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)!write(fd, "5", 1); /* where it is refused, the peak is older */
}

const char *socket_dir(void)
{
	return dir;
}

const char *files_dir(void)
{
	return files;
}

void read_all(int fd, void *bytes, size_t len)
{
	char *p = bytes;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n <= 0 && !(n < 0 && errno == EINTR))
			give_up("a connection ended early");
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}

void write_all(int fd, const void *bytes, size_t len)
{
	if (fd_write_all(fd, bytes, len) < 0)
		give_up("a connection ended early");
}
