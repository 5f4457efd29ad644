/*
 * net/dial.c - net.dial: a connection into the guest, through the agent's own
 *
 * Addresses are connected to on the loop, which never waits for that; the path of a Unix socket may
 * lie in a dead file system, so it is looked up on a worker.  The agent's own sockets are not
 * reached this way, under whatever name: they would take the agent for a host.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "guestd/config.h"
#include "guestd/job.h"
#include "guestd/listener.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "net/address.h"
#include "net/connect.h"
#include "net/tunnel.h"

/* Until a connection is there, unless the call says otherwise. */
#define DIAL_TIMEOUT_MS 10000

/* Seconds: a Unix socket whose queue is full says so at once, and tells nobody when it is not. */
#define RETRY 0.02

struct dial_args {
	uint64_t port;
	const char *host, *path;
	uint64_t timeout_ms;
};

static const struct arg dial_table[] = {
	ARG(struct dial_args, port, .min = 1, .max = 65535),
	ARG(struct dial_args, host),
	ARG(struct dial_args, path),
	ARG(struct dial_args, timeout_ms, .dflt = DIAL_TIMEOUT_MS),
	ARG_END,
};

struct dial {
	struct tunnel tunnel;
	struct connect connect;
	struct ev_timer timeout, retry;
	const char *path; /* as the client wrote it; NULL: addresses */
	bool over;        /* the call is; the worker is not */

	/* the worker's while it runs */
	struct job job;
	bool running;
	struct sockaddr_un addr;
	socklen_t addr_len;
	int fd, err;
	bool own; /* it is one of the agent's */
};

static void dial_over(struct tunnel *t)
{
	struct dial *d = CONTAINER_OF(t, struct dial, tunnel);

	ev_timer_stop(loop_ev(), &d->timeout);
	ev_timer_stop(loop_ev(), &d->retry);
	connect_stop(&d->connect);
	d->over = true;
	if (!d->running)
		free(d);
}

static void connected(struct dial *d, int fd, const char *address)
{
	struct req *req = d->tunnel.req;
	struct enc e;

	ev_timer_stop(loop_ev(), &d->timeout);
	chan_event_begin(req, &e);
	enc_map_end(&e, enc_map_begin(&e), 2);
	enc_kv_str(&e, "type", "connected");
	enc_kv_text(&e, d->path ? "path" : "address", address);
	chan_event_end(req, &e);
	tunnel_start(&d->tunnel, fd);
}

static void refuse(struct dial *d, int err, const char *stage, const char *why)
{
	struct failure f;

	failure_set(&f, err, stage, d->path, "%s", why);
	tunnel_refuse(&d->tunnel, &f);
}

static void cannot_connect(struct dial *d, int err, const char *where)
{
	char why[200];

	snprintf(why, sizeof(why), "cannot connect to %s: %s%s", where, strerror(-err),
		err == -ECONNREFUSED ? ": nothing listens there" : "");
	refuse(d, err, "connect", why);
}

static void on_timeout(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct dial *d = CONTAINER_OF(w, struct dial, timeout);

	(void)ev, (void)revents;
	refuse(d, ERR_TIMEOUT, "connect",
		"no connection within timeout_ms: whoever listens there does not accept");
}

/* Addresses */

static void on_connected(struct connect *c, int err, int *fd)
{
	struct dial *d = CONTAINER_OF(c, struct dial, connect);
	char address[ADDRESS_TEXT_MAX], where[ADDRESS_TEXT_MAX + 16];

	address_text(&c->at[c->i], address);
	snprintf(where, sizeof(where), "%s port %u", address, c->port);
	if (err)
		cannot_connect(d, err, where);
	else
		connected(d, take_fd(fd), address);
}

static int prepare_addresses(struct dial *d, const struct dial_args *a, struct failure *f)
{
	struct connect *c = &d->connect;
	char address[ADDRESS_TEXT_MAX];

	c->n = address_parse(a->host, c->at, f);
	if (!c->n)
		return f->err;
	c->port = (uint16_t)a->port;
	c->done = on_connected;
	if (config()->dial_any || address_is_loopback(&c->at[0]))
		return 0;
	address_text(&c->at[0], address);
	return failure_set(f, -EACCES, "address", NULL,
		"%s is no loopback address: guestd reaches others only if it was started with "
		"--dial-any",
		address);
}

/* Unix sockets */

/* Did the agent itself listen there? */
static bool is_own_listener(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.pid == getpid();
}

/* Is it where processes say their events?  By whatever path: equal inodes. */
static bool is_inbox(const char *path)
{
	char own[sizeof(((struct sockaddr_un *)0)->sun_path) + 16];
	struct stat a, b;

	snprintf(own, sizeof(own), "%.107s/events.sock", config()->run_dir);
	return *path && stat(path, &a) == 0 && stat(own, &b) == 0 && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

static void dial_work(struct job *job)
{
	struct dial *d = CONTAINER_OF(job, struct dial, job);
	cleanup_fd int fd = -1;

	d->err = 0;
	d->own = is_inbox(d->addr.sun_path);
	if (d->own)
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&d->addr, d->addr_len) < 0)
		d->err = -errno;
	else if (is_own_listener(fd))
		d->own = true;
	else
		d->fd = take_fd(&fd);
}

static void submit(struct dial *d)
{
	if (job_submit(&d->job) < 0) {
		refuse(d, ERR_BUSY, NULL, "too many jobs wait for a worker");
		return;
	}
	d->running = true;
}

static void dial_done(struct job *job)
{
	struct dial *d = CONTAINER_OF(job, struct dial, job);

	d->running = false;
	/* An inherited listener may have been made by another process. */
	if (d->fd >= 0 && listener_is_peer(d->fd))
		d->own = true;
	if (d->over || d->own)
		fd_close(&d->fd);
	if (d->over)
		free(d);
	else if (d->err == -EAGAIN)
		ev_timer_again(loop_ev(), &d->retry);
	else if (d->own)
		refuse(d, -EACCES, "address", "the agent's own sockets are not reached this way");
	else if (d->err)
		cannot_connect(d, d->err, d->path);
	else
		connected(d, take_fd(&d->fd), d->path);
}

static void on_retry(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)revents;
	ev_timer_stop(ev, w);
	submit(CONTAINER_OF(w, struct dial, retry));
}

static int prepare_path(struct dial *d, const char *path, struct failure *f)
{
	size_t len = strlen(path);

	if (*path != '/' && *path != '@')
		return failure_set(f, ERR_BAD_PARAMS, NULL, NULL,
			"path is an absolute path, or @NAME for an abstract socket");
	if (len >= sizeof(d->addr.sun_path))
		return failure_set(f, ERR_BAD_PARAMS, NULL, NULL,
			"path has %zu bytes, the address of a Unix socket at most %zu", len,
			sizeof(d->addr.sun_path) - 1);
	d->path = path;
	d->addr.sun_family = AF_UNIX;
	memcpy(d->addr.sun_path, path, len);
	d->addr_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (*path == '/'));
	if (*path == '@')
		d->addr.sun_path[0] = '\0';
	d->job = (struct job){.class = JOB_SLOW, .work = dial_work, .done = dial_done};
	return 0;
}

static int prepare(struct dial *d, const struct dial_args *a, struct failure *f)
{
	if (!a->port == !a->path)
		return failure_set(f, ERR_BAD_PARAMS, NULL, NULL, "give either port or path");
	if (a->path && a->host)
		return failure_set(
			f, ERR_BAD_PARAMS, NULL, NULL, "host belongs to port: a path has none");
	return a->path ? prepare_path(d, a->path, f) : prepare_addresses(d, a, f);
}

static void dial_call(struct req *req, void *args)
{
	const struct dial_args *a = args;
	struct dial *d = xcalloc(1, sizeof(*d));
	struct failure f;

	d->fd = d->connect.fd = -1;
	d->tunnel.over = dial_over;
	if (prepare(d, a, &f) || tunnel_open(&d->tunnel, req, &f)) {
		free(d);
		req_fail_with(req, &f);
		return;
	}
	ev_init(&d->retry, on_retry);
	d->retry.repeat = RETRY;
	ev_timer_init(&d->timeout, on_timeout, (ev_tstamp)a->timeout_ms / 1000, 0);
	if (a->timeout_ms)
		ev_timer_start(loop_ev(), &d->timeout);
	if (d->path)
		submit(d);
	else
		connect_start(&d->connect);
}

METHOD(net_dial) = {
	.name = "net.dial",
	.doc = "Connects to a port or a Unix socket of the guest and passes bytes both ways.",
	.args = dial_table,
	.args_size = sizeof(struct dial_args),
	.call = dial_call,
	.streams = true,
	.changes = true,
};
