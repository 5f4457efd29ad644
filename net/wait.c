/*
 * net/wait.c - net.wait: until something accepts connections on a port
 *
 * That a socket listens is seen by the scanner, which the server never notices.  Only then is there
 * one connection, to prove it, closed in order and without a byte sent; where it fails (a full
 * queue, a device that the socket is bound to), another one after a pause that grows.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "net/address.h"
#include "net/connect.h"
#include "net/scanner.h"
#include "proc/process.h"
#include "proto/limits.h"

/* Seconds between two connections that failed. */
#define PAUSE_MIN 0.05
#define PAUSE_MAX 2.0

/* A connection that is neither taken nor refused for so long, in seconds, is given up. */
#define ATTEMPT_MAX 3.0

struct wait_args {
	uint64_t port;
	const char *host, *id;
	uint64_t timeout_ms;
};

static const struct arg wait_table[] = {
	ARG(struct wait_args, port, .required = true, .min = 1, .max = 65535),
	ARG(struct wait_args, host),
	ARG(struct wait_args, id),
	ARG(struct wait_args, timeout_ms),
	ARG_END,
};

struct port_wait {
	struct scan_client client;
	struct follower f; /* of the process that is named, if any */
	struct req *req;
	const struct wait_args *args;
	struct address host[MAX_ADDRESSES];
	size_t n_hosts; /* 0: any */
	uint64_t began_us;
	struct ev_timer timeout, attempt;
	struct connect connect;
	bool connecting;
	unsigned turn; /* which of several candidates is next */
	ev_tstamp pause, not_before;
	pid_t pid; /* of the one that is tried */
	char seen
		[ADDRESS_TEXT_MAX]; /* where something listened, though it took no connection so far */
};

static unsigned n_waits;

static struct req *done(struct port_wait *w)
{
	struct req *req = w->req;

	ev_timer_stop(loop_ev(), &w->timeout);
	ev_timer_stop(loop_ev(), &w->attempt);
	connect_stop(&w->connect);
	if (w->f.process)
		process_unfollow(&w->f);
	scan_leave(&w->client);
	n_waits--;
	free(w);
	return req;
}

static void succeed(struct port_wait *w)
{
	const struct address *a = &w->connect.at[w->connect.i];
	uint64_t waited_ms = (clock_mono_us() - w->began_us) / 1000;
	char address[ADDRESS_TEXT_MAX];
	pid_t pid = w->pid;
	struct req *req;
	struct enc e;

	address_text(a, address);
	req = done(w);
	req_reply_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 2 + (pid != 0));
	enc_kv_uint(&e, "waited_ms", waited_ms);
	enc_kv_str(&e, "address", address);
	if (pid)
		enc_kv_int(&e, "pid", pid);
	req_reply_end(req, &e);
}

/* The connection */

static void attempt_failed(struct port_wait *w)
{
	w->connecting = false;
	ev_timer_stop(loop_ev(), &w->attempt);
	w->pause = MIN(MAX(2 * w->pause, PAUSE_MIN), PAUSE_MAX);
	w->not_before = loop_now() + w->pause;
	w->turn++;
}

static void on_connected(struct connect *c, int err, int *fd)
{
	struct port_wait *w = CONTAINER_OF(c, struct port_wait, connect);

	if (err) {
		attempt_failed(w);
		return;
	}
	fd_close(fd);
	succeed(w);
}

static void on_attempt_timeout(struct ev_loop *ev, struct ev_timer *timer, int revents)
{
	struct port_wait *w = CONTAINER_OF(timer, struct port_wait, attempt);

	(void)ev, (void)revents;
	connect_stop(&w->connect);
	attempt_failed(w);
}

/* Where something that listens at L may be reached as the client wants it.  False: nowhere. */
static bool choose(const struct port_wait *w, const struct port *p, struct address *out)
{
	*out = address_of(&p->sock);
	if (!w->n_hosts)
		return true;
	for (size_t i = 0; i < w->n_hosts; i++) {
		if (address_reaches(&w->host[i], &p->sock)) {
			*out = w->host[i];
			return true;
		}
	}
	return false;
}

static void try_candidate(struct port_wait *w, const struct port *p, const struct address *a)
{
	address_text(a, w->seen);
	w->connecting = true;
	w->pid = p->pid;
	w->connect.at[0] = *a;
	w->connect.n = 1;
	w->connect.port = p->sock.port;
	w->connect.local = true;
	w->connect.done = on_connected;
	ev_timer_set(&w->attempt, ATTEMPT_MAX, 0);
	ev_timer_start(loop_ev(), &w->attempt);
	connect_start(&w->connect); /* last: W may be no more */
}

static void look(struct port_wait *w)
{
	const struct port *fit[16];
	struct address at[ARRAY_LEN(fit)];
	size_t n, n_fit = 0;
	const struct port *ports = scan_ports(&n);

	for (size_t i = 0; i < n && n_fit < ARRAY_LEN(fit); i++) {
		if (ports[i].sock.port == w->args->port && choose(w, &ports[i], &at[n_fit]))
			fit[n_fit++] = &ports[i];
	}
	if (n_fit)
		try_candidate(w, fit[w->turn % n_fit], &at[w->turn % n_fit]);
}

static void wait_scanned(struct scan_client *c, int err)
{
	struct port_wait *w = CONTAINER_OF(c, struct port_wait, client);
	struct failure f;

	if (err) {
		scan_failure(&f, err);
		req_fail_with(done(w), &f);
	} else if (!w->connecting && loop_now() >= w->not_before) {
		look(w);
	}
}

/* The other ways that it ends */

static void on_timeout(struct ev_loop *ev, struct ev_timer *timer, int revents)
{
	struct port_wait *w = CONTAINER_OF(timer, struct port_wait, timeout);
	unsigned port = (unsigned)w->args->port;
	unsigned long long ms = w->args->timeout_ms;
	char seen[ADDRESS_TEXT_MAX];

	(void)ev, (void)revents;
	snprintf(seen, sizeof(seen), "%s", w->seen);
	if (*seen)
		req_fail(done(w), ERR_TIMEOUT,
			"within %llu ms %s port %u listened, but took no connection", ms, seen,
			port);
	else
		req_fail(done(w), ERR_TIMEOUT, "nothing listened on port %u within %llu ms", port,
			ms);
}

static void fail_exited(struct req *req, const struct process *p)
{
	struct exit_record x = process_exit(p);
	struct failure f;
	struct buf data;
	struct enc e = {.buf = &data};
	size_t mark;

	x.artifacts = NULL; /* they may be longer than a frame, and proc.wait has them */
	buf_init(&data, MAX_FRAME);
	mark = enc_map_begin(&e);
	enc_map_end(&e, mark, exit_encode(&x, &e));
	failure_set(&f, ERR_NOT_FOUND, NULL, NULL, "the process %s has exited: `data` tells how",
		p->id);
	if (!e.failed)
		f.data = &data;
	req_fail_with(req, &f);
	buf_fini(&data);
}

static void on_ended(struct follower *f)
{
	const struct process *p = f->process;

	fail_exited(done(CONTAINER_OF(f, struct port_wait, f)), p);
}

static void on_failed(struct follower *f, const struct failure *failure)
{
	req_fail_with(done(CONTAINER_OF(f, struct port_wait, f)), failure);
}

static const struct follower_ops follower_ops = {
	.failed = on_failed,
	.ended = on_ended,
	.held = on_ended,
};

static void wait_cancel(void *owner)
{
	req_fail(done(owner), ERR_CANCELED, "canceled");
}

static void wait_gone(void *owner)
{
	done(owner);
}

static const struct chan_ops chan_ops = {.cancel = wait_cancel, .gone = wait_gone};

/* Is A one of this guest's?  Else a port that is open here would be looked for elsewhere. */
static bool is_ours(const struct address *a)
{
	union sockaddr_any addr;
	socklen_t len = address_sockaddr(a, 0, &addr);
	cleanup_fd int fd = socket(a->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return address_is_loopback(a) || (fd >= 0 && bind(fd, &addr.any, len) == 0);
}

/* 0, with *P where one is named. */
static int check(const struct wait_args *a, struct address host[MAX_ADDRESSES], size_t *n_hosts,
	struct process **p, struct failure *f)
{
	*n_hosts = a->host ? address_parse(a->host, host, f) : 0;
	if (a->host && !*n_hosts)
		return f->err;
	if (a->host && !is_ours(&host[0]))
		return failure_set(f, -EADDRNOTAVAIL, "address", NULL,
			"%.80s is no address of this guest", a->host);
	if (a->id)
		*p = process_find(a->id);
	if (a->id && !*p)
		return failure_set(
			f, ERR_NOT_FOUND, NULL, NULL, "no process has the id %.150s", a->id);
	if (n_waits == MAX_PORT_WAITS)
		return failure_set(f, ERR_LIMIT, NULL, NULL,
			"max_port_waits (%u) calls wait already", MAX_PORT_WAITS);
	return 0;
}

static void wait_call(struct req *req, void *args)
{
	const struct wait_args *a = args;
	struct address host[MAX_ADDRESSES];
	size_t n_hosts;
	struct process *p = NULL;
	struct failure f;
	struct port_wait *w;

	if (check(a, host, &n_hosts, &p, &f)) {
		req_fail_with(req, &f);
		return;
	}
	if (p && p->state == PROCESS_ENDED) {
		fail_exited(req, p);
		return;
	}
	w = xcalloc(1, sizeof(*w));
	n_waits++;
	w->req = req;
	w->args = a;
	memcpy(w->host, host, sizeof(host));
	w->n_hosts = n_hosts;
	w->began_us = clock_mono_us();
	w->connect.fd = -1;
	ev_timer_init(&w->attempt, on_attempt_timeout, ATTEMPT_MAX, 0);
	ev_timer_init(&w->timeout, on_timeout, (ev_tstamp)a->timeout_ms / 1000, 0);
	if (a->timeout_ms)
		ev_timer_start(loop_ev(), &w->timeout);
	chan_open(req, &chan_ops, w);
	if (p) {
		process_follow(p, &w->f, &follower_ops);
		follower_skip(&w->f);
	}
	w->client.pace = PACE_WAIT;
	w->client.scanned = wait_scanned;
	scan_join(&w->client);
}

METHOD(net_wait) = {
	.name = "net.wait",
	.doc = "Waits until something accepts connections on a port of the guest.",
	.args = wait_table,
	.args_size = sizeof(struct wait_args),
	.call = wait_call,
};
