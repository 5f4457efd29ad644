/*
 * bench/minimal.c - the minimal agent: the least a daemon can do to run commands for a client
 *
 * One thread, one epoll.  A request is {u32 len, u32 id, argv with a NUL after each}; its answer,
 * when both pipes have ended and the process is gone, {u32 len, u32 id, i32 wait status, output}.
 * No users, environments, rings, cgroups, limits or streams: what guestd costs on top of this is
 * the price of those.  Four things make it fast, and are fair game for any agent: requests are
 * read and answers written in batches; a pipe's hang-up is taken from epoll without reading; a
 * process is asked for its exit when its pipes have ended, before anything is waited for; and it
 * does not wait for an execve (`minimal SOCKET vfork` does, for comparison).
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "bench/spawn.h"

#define MAX_CONNS   16
#define MAX_ARGS    64
#define MAX_REQUEST 65536
#define MAX_OUTPUT  (1u << 20)

struct source {
	enum { LISTENER, CONN, PIPE, PROCESS } kind;
	int fd; /* -1: closed */
	bool watched;
	struct job *job;
};

static struct conn {
	struct source source;
	bool blocked; /* EPOLLOUT is awaited */
	size_t n_jobs, in_len, out_len, out_cap;
	char in[MAX_REQUEST], *out;
} conns[MAX_CONNS];

struct job {
	struct spawn spawn; /* the child reads it and runs on its stack */
	struct source pipes[2], process;
	struct conn *conn;
	struct job *next_free;
	pid_t pid;
	uint32_t id;
	size_t len, cap, args_cap;
	char *output, *args, *argv[MAX_ARGS + 1];
};

static struct job *free_jobs;
static int poll_fd;
static uint64_t spawn_flags;

static void *grow(void *p, size_t *cap, size_t need)
{
	while (*cap < need)
		*cap = *cap ? *cap * 2 : 4096;
	p = realloc(p, *cap);
	if (!p)
		abort();
	return p;
}

static void watch(struct source *s, int op, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = s};

	s->watched = true;
	if (epoll_ctl(poll_fd, op, s->fd, &ev) < 0)
		abort();
}

/*
 * Closing is not enough for epoll to forget a descriptor: a child that has started its execve, but
 * not yet reached the closing of what is CLOEXEC, still holds it.
 */
static void drop(struct source *s)
{
	if (s->watched)
		epoll_ctl(poll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	close(s->fd);
	s->fd = -1;
	s->watched = false;
}

static void answer(struct job *j, int status)
{
	struct conn *c = j->conn;
	uint32_t head[3] = {(uint32_t)(8 + j->len), j->id, (uint32_t)status};

	if (c->out_cap < c->out_len + sizeof(head) + j->len)
		c->out = grow(c->out, &c->out_cap, c->out_len + sizeof(head) + j->len);
	memcpy(c->out + c->out_len, head, sizeof(head));
	if (j->len)
		memcpy(c->out + c->out_len + sizeof(head), j->output, j->len);
	c->out_len += sizeof(head) + j->len;
	c->n_jobs--;
	j->next_free = free_jobs;
	free_jobs = j;
}

/* Both pipes have ended: most often the process has gone already. */
static void reap(struct job *j)
{
	int status;

	if (waitpid(j->pid, &status, WNOHANG) == j->pid) {
		drop(&j->process);
		answer(j, j->spawn.error ? -1 : status);
	} else {
		watch(&j->process, EPOLL_CTL_ADD, EPOLLIN);
	}
}

static void start(struct conn *c, uint32_t id, const char *args, size_t len)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	static char *envp[] = {path, NULL};
	struct job *j = free_jobs;
	size_t n = 0;
	int out[2], err[2];

	if (j)
		free_jobs = j->next_free;
	else if (!(j = calloc(1, sizeof(*j))))
		abort();
	j->conn = c;
	j->id = id;
	j->len = 0;
	c->n_jobs++;
	if (len == 0 || args[len - 1] != '\0') {
		answer(j, -1);
		return;
	}
	if (j->args_cap < len)
		j->args = grow(j->args, &j->args_cap, len);
	memcpy(j->args, args, len);
	for (char *p = j->args; p < j->args + len && n < MAX_ARGS; p += strlen(p) + 1)
		j->argv[n++] = p;
	j->argv[n] = NULL;
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		abort();
	j->spawn.argv = j->argv;
	j->spawn.envp = envp;
	j->spawn.out = out[1];
	j->spawn.err = err[1];
	j->process = (struct source){PROCESS, -1, false, j};
	j->pipes[0] = (struct source){PIPE, out[0], false, j};
	j->pipes[1] = (struct source){PIPE, err[0], false, j};
	j->pid = spawn(&j->spawn, spawn_flags, &j->process.fd);
	close(out[1]);
	close(err[1]);
	if (j->pid < 0) {
		drop(&j->pipes[0]);
		drop(&j->pipes[1]);
		answer(j, -1);
		return;
	}
	watch(&j->pipes[0], EPOLL_CTL_ADD, EPOLLIN);
	watch(&j->pipes[1], EPOLL_CTL_ADD, EPOLLIN);
}

static void pipe_ready(struct source *s, uint32_t events)
{
	struct job *j = s->job;
	char over[65536];
	ssize_t n = 0;

	if (events & EPOLLIN) {
		if (j->len < MAX_OUTPUT && j->cap - j->len < 4096)
			j->output = grow(j->output, &j->cap, j->len + 4096);
		if (j->len < MAX_OUTPUT)
			n = read(s->fd, j->output + j->len, j->cap - j->len);
		else
			n = read(s->fd, over, sizeof(over));
		if (n > 0 && j->len < MAX_OUTPUT)
			j->len += (size_t)n;
	}
	if (n <= 0) {
		drop(s);
		if (j->pipes[0].fd < 0 && j->pipes[1].fd < 0)
			reap(j);
	}
}

static void conn_ready(struct conn *c)
{
	ssize_t n = recv(c->source.fd, c->in + c->in_len, sizeof(c->in) - c->in_len, MSG_DONTWAIT);
	char *p = c->in, *end = c->in + c->in_len + (n > 0 ? n : 0);
	uint32_t head[2] = {4, 0};

	for (; (size_t)(end - p) >= sizeof(head); p += 4 + head[0]) {
		memcpy(head, p, sizeof(head));
		if (head[0] < 4 || head[0] > MAX_REQUEST - 4 || (size_t)(end - p) < 4 + head[0])
			break;
		start(c, head[1], p + sizeof(head), head[0] - 4);
	}
	c->in_len = (size_t)(end - p);
	memmove(c->in, p, c->in_len);
	if (n == 0 || (n < 0 && errno != EAGAIN) || head[0] < 4 || head[0] > MAX_REQUEST - 4)
		drop(&c->source);
}

static void flush(struct conn *c)
{
	ssize_t n;

	if (c->source.fd < 0 || !c->out_len) {
		c->out_len = 0; /* nobody is there to take it */
		return;
	}
	n = send(c->source.fd, c->out, c->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN)
		n = (ssize_t)c->out_len; /* the end of the connection is read next */
	if (n > 0)
		memmove(c->out, c->out + n, c->out_len -= (size_t)n);
	if (c->blocked != (c->out_len > 0)) {
		c->blocked = !c->blocked;
		watch(&c->source, EPOLL_CTL_MOD, c->blocked ? EPOLLOUT : EPOLLIN);
	}
}

static void client(int fd)
{
	struct conn *c = conns;

	while (c < conns + MAX_CONNS && (c->source.fd >= 0 || c->n_jobs))
		c++;
	if (fd < 0 || c == conns + MAX_CONNS) {
		close(fd);
		return;
	}
	c->source = (struct source){CONN, fd, false, NULL};
	c->in_len = c->out_len = 0;
	c->blocked = false;
	watch(&c->source, EPOLL_CTL_ADD, EPOLLIN);
}

int main(int argc, char **argv)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct source listener = {
		LISTENER, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), false, NULL};
	struct epoll_event ready[128];

	poll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (argc == 3 && strcmp(argv[2], "vfork") == 0)
		spawn_flags = CLONE_VFORK;
	else if (argc != 2)
		return 2;
	if (strlen(argv[1]) >= sizeof(addr.sun_path) || poll_fd < 0)
		return 2;
	memcpy(addr.sun_path, argv[1], strlen(argv[1]) + 1);
	if (bind(listener.fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
		listen(listener.fd, 16) < 0)
		return 1;
	for (struct conn *c = conns; c < conns + MAX_CONNS; c++)
		c->source.fd = -1;
	watch(&listener, EPOLL_CTL_ADD, EPOLLIN);
	for (;;) {
		int n = epoll_wait(poll_fd, ready, 128, -1);

		for (int i = 0; i < n; i++) {
			struct source *s = ready[i].data.ptr;

			if (s->kind == LISTENER)
				client(accept4(s->fd, NULL, NULL, SOCK_CLOEXEC));
			else if (s->kind == CONN && !(ready[i].events & EPOLLOUT))
				conn_ready((struct conn *)s);
			else if (s->kind == PIPE)
				pipe_ready(s, ready[i].events);
			else if (s->kind == PROCESS)
				reap(s->job);
		}
		for (struct conn *c = conns; c < conns + MAX_CONNS; c++)
			flush(c);
	}
}
