/* guestd/listener.c - the listening sockets of the daemon in its loop */
#include "guestd/listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "guestd/area.h"
#include "guestd/config.h"
#include "guestd/conn.h"
#include "guestd/loop.h"
#include "guestd/notify.h"
#include "guestd/serial.h"
#include "proto/err.h"
#include "proto/limits.h"

/*
 * A device or driver that is missing is looked for at once and then less and less: one that probes late
 * is found soon, and a guest without one is not woken every second.
 */
#define RETRY_FIRST 0.05
#define RETRY_MAX   30.0

/* How long nothing may be heard on vsock after a reset before its listeners are made anew. */
#define SUSPECT_AFTER 5.0

/* Without descriptors or memory, accepting is tried again after a pause, not in a spin. */
#define PAUSE 0.1

/* Taken in one turn, so that a flood of connects does not starve those who are served. */
#define ACCEPT_BATCH 64

struct listener {
	const struct endpoint *ep;
	struct serial *serial; /* a line: it has a loop side of its own */
	int fd;
	bool was_open; /* so it can be opened again, whatever is in the way now */
	struct ev_io io;
	struct ev_timer retry;
};

static struct {
	struct listener *at;
	size_t n;
	struct ev_timer suspect;
	ev_tstamp suspect_since;
} listeners;

static void on_connect(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct listener *l = CONTAINER_OF(w, struct listener, io);
	char why[128];

	(void)revents;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		int fd = listen_accept(l->fd, &config()->peers, why, sizeof(why));

		if (fd >= 0) {
			conn_new(fd, config()->token != NULL, MAX_FRAME);
		} else if (fd == -EAGAIN) {
			return;
		} else if (fd == -EACCES) {
			log_limited(LOG_WARN, "listener", "refused: %s", why);
		} else if (fd != -EINTR && fd != -ECONNABORTED && fd != -EPERM) {
			log_limited(LOG_ERROR, "listener", "cannot accept err=%s", err_name(fd));
			ev_io_stop(ev, w);
			l->retry.repeat = PAUSE;
			ev_timer_again(ev, &l->retry);
			return;
		}
	}
}

static int try_open(struct listener *l, char *why, size_t why_len)
{
	if (l->ep->kind == ENDPOINT_SERIAL)
		return serial_open(l->ep, &l->serial, why, why_len);
	l->fd = listen_open(l->ep, why, why_len);
	if (l->fd < 0)
		return l->fd;
	ev_io_init(&l->io, on_connect, l->fd, EV_READ);
	ev_io_start(loop_ev(), &l->io);
	return 0;
}

static bool is_open(const struct listener *l)
{
	return l->fd >= 0 || l->serial;
}

static void describe(const struct endpoint *ep, char *text, size_t len)
{
	switch (ep->kind) {
	case ENDPOINT_VSOCK:
		snprintf(text, len, "vsock:%u", ep->port);
		break;
	case ENDPOINT_FD:
		snprintf(text, len, "fd:%d", ep->fd);
		break;
	case ENDPOINT_UNIX:
	case ENDPOINT_UDS:
	case ENDPOINT_SERIAL:
		snprintf(text, len, "%s:%s", ep->kind == ENDPOINT_SERIAL ? "serial" : "unix",
			ep->path);
		break;
	}
}

/* Those that are open, or those that are not, behind WHAT. */
static size_t describe_all(bool open, const char *what, char *text, size_t len)
{
	size_t used = 0;

	for (size_t i = 0; i < listeners.n; i++) {
		char one[128];

		if (is_open(&listeners.at[i]) != open)
			continue;
		describe(listeners.at[i].ep, one, sizeof(one));
		snprintf(text + used, len - used, "%s%s", used ? ", " : what, one);
		used += strlen(text + used);
	}
	return used;
}

void listeners_describe(char *text, size_t len)
{
	size_t used;

	*text = '\0';
	used = describe_all(true, "listening on ", text, len);
	describe_all(false, used ? "; waiting for " : "waiting for ", text + used, len - used);
}

static bool may_come(const struct listener *l, int err)
{
	return l->was_open || listen_may_come(l->ep, err);
}

static void on_retry(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	struct listener *l = CONTAINER_OF(w, struct listener, retry);
	char why[200];
	int err;

	(void)revents;
	if (l->fd >= 0) {
		ev_io_start(ev, &l->io);
		ev_timer_stop(ev, w);
		return;
	}
	err = try_open(l, why, sizeof(why));
	if (err && may_come(l, err)) {
		w->repeat = MIN(2 * w->repeat, RETRY_MAX);
		ev_timer_again(ev, w);
		return;
	}
	ev_timer_stop(ev, w);
	if (err)
		log_error("listener", "%s", why);
	else
		log_info("listener", "the device is there now: listening vsock port=%u",
			l->ep->port);
	listeners_describe(why, sizeof(why));
	notify_status(why);
}

static void try_later(struct listener *l)
{
	l->retry.repeat = RETRY_FIRST;
	ev_timer_again(loop_ev(), &l->retry);
}

/* A port is bound once: the old socket goes first, and who connects in between is refused. */
static void listen_anew(struct listener *l)
{
	char why[200];
	int err;

	ev_io_stop(loop_ev(), &l->io);
	fd_close(&l->fd);
	log_info("listener", "nothing came after a reset: listening anew vsock port=%u",
		l->ep->port);
	l->was_open = true;
	err = try_open(l, why, sizeof(why));
	/* A child that has not come to its exec yet has the old one, too. */
	if (err && err != -EADDRINUSE)
		log_warn("listener", "%s; trying again until it works", why);
	if (err)
		try_later(l);
}

static void on_suspect(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)revents;
	ev_timer_stop(ev, w);
	for (size_t i = 0; i < listeners.n; i++) {
		struct listener *l = &listeners.at[i];

		if (l->ep->kind == ENDPOINT_VSOCK && l->fd >= 0 &&
			conn_vsock_heard() < listeners.suspect_since)
			listen_anew(l);
	}
}

void listeners_suspect(void)
{
	if (ev_is_active(&listeners.suspect))
		return;
	listeners.suspect_since = loop_now();
	listeners.suspect.repeat = SUSPECT_AFTER;
	ev_timer_again(loop_ev(), &listeners.suspect);
}

int listeners_start(char *why, size_t why_len)
{
	const struct config *conf = config();

	if (conf->refused)
		return 0;
	listeners.at = xcalloc(conf->n_listen, sizeof(*listeners.at));
	listeners.n = conf->n_listen;
	ev_init(&listeners.suspect, on_suspect);
	for (size_t i = 0; i < listeners.n; i++) {
		struct listener *l = &listeners.at[i];

		l->ep = &conf->listen[i];
		l->fd = -1;
		ev_init(&l->retry, on_retry);
	}
	for (size_t i = 0; i < listeners.n; i++) {
		struct listener *l = &listeners.at[i];
		int err = try_open(l, why, why_len);

		if (err && !listen_may_come(l->ep, err))
			return err;
		if (err) {
			log_warn("listener", "%s; trying again until it works", why);
			try_later(l);
		}
	}
	return 0;
}

void listeners_stop(void)
{
	ev_timer_stop(loop_ev(), &listeners.suspect);
	for (size_t i = 0; i < listeners.n; i++) {
		struct listener *l = &listeners.at[i];

		ev_timer_stop(loop_ev(), &l->retry);
		if (l->fd < 0)
			continue;
		ev_io_stop(loop_ev(), &l->io);
		fd_close(&l->fd);
		listen_unlink(l->ep);
	}
}

void listeners_fini(void)
{
	for (size_t i = 0; i < listeners.n; i++) {
		if (listeners.at[i].serial)
			serial_close(listeners.at[i].serial);
	}
	free(listeners.at);
	listeners.at = NULL;
	listeners.n = 0;
}

bool listener_is_peer(int fd)
{
	struct sockaddr_un peer = {0};
	socklen_t peer_len = sizeof(peer);

	if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) < 0)
		return false;
	for (size_t i = 0; i < listeners.n; i++) {
		struct sockaddr_un own = {0};
		socklen_t len = sizeof(own);

		if (listeners.at[i].fd >= 0 &&
			getsockname(listeners.at[i].fd, (struct sockaddr *)&own, &len) == 0 &&
			len == peer_len && memcmp(&own, &peer, sizeof(own)) == 0)
			return true;
	}
	return false;
}

/* The host said so; where that did not come by vsock, is vsock still served? */
static void on_resumed(void)
{
	if (loop_now() - conn_vsock_heard() > SUSPECT_AFTER)
		listeners_suspect();
}

AREA(listener) = {.name = "listener", .resumed = on_resumed};
