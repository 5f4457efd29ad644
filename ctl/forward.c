/*
 * ctl/forward.c - guestctl forward: a port of ours that leads to one of the guest
 *
 * Every connection is a call of net.dial, all of them over one connection to the agent.  Bytes that
 * a local program does not read stay here up to FORWARD_WINDOW, and then at the server: credit is
 * returned as they are written, so one that stalls holds up itself alone.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "ctl/command.h"
#include "ctl/interrupt.h"
#include "ctl/parse.h"
#include "ctl/report.h"
#include "ctl/text.h"

/* Bytes of a connection that may be on their way from the agent, or wait here. */
#define FORWARD_WINDOW (512u << 10)

/* Messages, and connections, taken before all else has its turn again. */
#define BATCH 64

/* One call each. */
#define MAX_FORWARDED MAX_CALLS

struct forwarded {
	unsigned number;
	uint32_t id;
	int fd;          /* -1: the local program is gone */
	struct buf out;  /* for it */
	uint32_t unpaid; /* written, and not granted to the agent so far */
	bool in_ended;   /* it has sent all, and the agent knows */
	bool out_ended;  /* the server has sent all */
	bool shut;       /* and the local program knows */
	bool answered;   /* the call is over */
};

struct forward {
	struct ctl *ctl;
	struct client *client;
	uint64_t port; /* of the guest */
	int listener;
	struct forwarded *all[MAX_FORWARDED];
	size_t n;
	unsigned serial;
	char bytes[MAX_DATA];
	struct pollfd polled[MAX_FORWARDED + 3];
};

/* The local side */

struct place {
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
};

static bool parse_place(const char *host, uint64_t port, struct place *out)
{
	*out = (struct place){.len = sizeof(out->in)};
	out->in.sin_family = AF_INET;
	out->in.sin_port = htons((uint16_t)port);
	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, &out->in.sin_addr) == 1)
		return true;
	*out = (struct place){.len = sizeof(out->in6)};
	out->in6.sin6_family = AF_INET6;
	out->in6.sin6_port = htons((uint16_t)port);
	return inet_pton(AF_INET6, host, &out->in6.sin6_addr) == 1;
}

/* [ADDR:]LPORT:PORT; an IPv6 address may stand in brackets.  WHAT is cut to pieces. */
static bool parse_what(char *what, struct place *place, uint64_t *port)
{
	char *last = strrchr(what, ':'), *first, *local = what;
	const char *host = "127.0.0.1";
	uint64_t local_port;

	if (!last)
		return false;
	*last = '\0';
	first = strrchr(what, ':');
	if (first) {
		*first = '\0';
		local = first + 1;
		host = what;
		if (*host == '[' && first[-1] == ']') {
			first[-1] = '\0';
			host++;
		}
	}
	return parse_uint(last + 1, 65535, port) && *port &&
	       parse_uint(local, 65535, &local_port) && parse_place(host, local_port, place);
}

static int listen_at(struct forward *f, const struct place *place)
{
	cleanup_fd int fd =
		socket(place->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(fd, &place->any, place->len) < 0 || listen(fd, 128) < 0)
		return -errno;
	f->listener = take_fd(&fd);
	return 0;
}

static int tell_place(const struct forward *f)
{
	struct place p = {.len = sizeof(p.in6)};
	char host[INET6_ADDRSTRLEN] = "";
	bool six;
	unsigned port;

	if (getsockname(f->listener, &p.any, &p.len) < 0)
		return ctl_fail(f->ctl, "cannot find out the port: %s", strerror(errno));
	six = p.any.sa_family == AF_INET6;
	inet_ntop(p.any.sa_family, six ? (void *)&p.in6.sin6_addr : (void *)&p.in.sin_addr, host,
		sizeof(host));
	port = ntohs(six ? p.in6.sin6_port : p.in.sin_port);
	if (f->ctl->json)
		printf("{\"address\": \"%s\", \"port\": %u}\n", host, port);
	else
		printf(six ? "listening on [%s]:%u\n" : "listening on %s:%u\n", host, port);
	return fflush(stdout) == 0 ? 0 : ctl_fail(f->ctl, "cannot write to standard output");
}

/* One connection */

static void drop(struct forwarded *w)
{
	fd_close(&w->fd);
	buf_fini(&w->out);
	free(w);
}

/* The local program does not get all, and must not take it for all. */
static void cut(struct forwarded *w)
{
	const struct linger reset = {.l_onoff = 1};

	if (w->fd >= 0)
		setsockopt(w->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	fd_close(&w->fd);
	buf_clear(&w->out);
}

/* The local program is gone.  0 or -errno. */
static int give_up(struct forward *f, struct forwarded *w)
{
	cut(w);
	return w->answered ? 0 : client_cancel(f->client, w->id);
}

/* Grants what was written, in halves of the window. */
static int pay(struct forward *f, struct forwarded *w, size_t n)
{
	int err = 0;

	w->unpaid += (uint32_t)n;
	if (w->answered || w->unpaid < FORWARD_WINDOW / 2)
		return 0;
	err = client_credit(f->client, w->id, w->unpaid);
	w->unpaid = 0;
	return err;
}

/* What it takes of LEN bytes now: 0 where it is gone as well.  -errno only of the agent. */
static ssize_t write_some(struct forward *f, struct forwarded *w, const char *bytes, size_t len)
{
	ssize_t n = send(w->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	int err;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	err = n < 0 ? give_up(f, w) : pay(f, w, (size_t)n);
	return err ? err : MAX(n, 0);
}

static void check_ends(struct forwarded *w)
{
	if (w->fd < 0 || buf_len(&w->out) || !w->out_ended || w->shut)
		return;
	shutdown(w->fd, SHUT_WR);
	w->shut = true;
}

/* 0 or -errno, of the agent. */
static int on_writable(struct forward *f, struct forwarded *w)
{
	ssize_t n = write_some(f, w, buf_bytes(&w->out), buf_len(&w->out));

	if (n > 0)
		buf_consume(&w->out, (size_t)n);
	check_ends(w);
	return n < 0 ? (int)n : 0;
}

static int on_readable(struct forward *f, struct forwarded *w)
{
	size_t room = MIN(client_room(f->client, w->id), sizeof(f->bytes));
	ssize_t n = room ? recv(w->fd, f->bytes, room, MSG_DONTWAIT) : -1;

	if (n > 0)
		return client_data(f->client, w->id, 0, f->bytes, (size_t)n);
	if (!room || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return 0;
	if (n < 0)
		return give_up(f, w);
	w->in_ended = true;
	return client_end(f->client, w->id, 0);
}

static int on_data(struct forward *f, struct forwarded *w, const char *bytes, size_t len)
{
	ssize_t n = 0;

	if (w->fd >= 0 && buf_len(&w->out) == 0)
		n = write_some(f, w, bytes, len);
	if (n < 0 || w->fd < 0)
		return MIN(n, 0);
	return buf_add(&w->out, bytes + n, len - (size_t)n);
}

static void on_response(struct forward *f, struct forwarded *w, const struct val *error)
{
	const char *text = "";
	size_t len = 0;

	w->answered = true;
	/* Its own end is no news to who sits here. */
	if (error && w->fd >= 0) {
		val_bytes(val_get(error, "message"), &text, &len);
		report_note(f->ctl, "connection %u: %.*s", w->number, (int)len, text);
		cut(w);
	}
}

/* The agent */

static struct forwarded *find(const struct forward *f, uint32_t id)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->all[i]->id == id && !f->all[i]->answered)
			return f->all[i];
	}
	return NULL;
}

static int take_message(struct forward *f, const struct client_msg *msg)
{
	struct forwarded *w = msg->type == MSG_NOTIFICATION ? NULL : find(f, msg->id);

	if (!w)
		return 0;
	if (msg->type == MSG_DATA)
		return on_data(f, w, msg->data, msg->len);
	if (msg->type == MSG_END)
		w->out_ended = true;
	if (msg->type == MSG_RESPONSE)
		on_response(f, w, msg->error);
	check_ends(w);
	return 0;
}

/* What has come, up to a batch: 0, with *MORE when there may be more, or -errno. */
static int take_messages(struct forward *f, bool *more)
{
	struct client_msg msg;
	int r = 1;

	for (int i = 0; i < BATCH && r > 0; i++) {
		r = client_next(f->client, 0, &msg);
		if (r > 0 && take_message(f, &msg))
			r = -ENOBUFS;
	}
	*more = r > 0;
	return MIN(r, 0);
}

/* A connection that somebody made to us: 1, 0 when there is none, or -errno. */
static int take_connection(struct forward *f)
{
	int on = 1, fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct forwarded *w;
	struct enc *e;

	if (fd < 0)
		return 0;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	w = xcalloc(1, sizeof(*w));
	w->fd = fd;
	w->number = ++f->serial;
	buf_init(&w->out, FORWARD_WINDOW);
	f->all[f->n++] = w;
	e = client_begin(f->client, "net.dial", &w->id);
	enc_map_end(e, enc_map_begin(e), 1);
	enc_kv_uint(e, "port", f->port);
	if (client_send(f->client))
		return -ENOBUFS;
	client_manual_credit(f->client, w->id);
	return 1;
}

/* All at once */

static struct pollfd interest(const struct forward *f, const struct forwarded *w)
{
	struct pollfd p = {.fd = w->fd};

	if (!w->in_ended && !w->answered && client_room(f->client, w->id))
		p.events |= POLLIN;
	if (buf_len(&w->out))
		p.events |= POLLOUT;
	if (!p.events)
		p.fd = -1; /* an error that nobody waits for would wake us again and again */
	return p;
}

static int serve_one(struct forward *f, struct forwarded *w, const struct pollfd *p)
{
	int err = 0;

	if (w->fd >= 0 && (p->events & POLLOUT) && p->revents)
		err = on_writable(f, w);
	if (!err && w->fd >= 0 && !w->answered && (p->events & POLLIN) && p->revents)
		err = on_readable(f, w);
	return err;
}

/* Those whose call is over, and who have had all of it. */
static void bury(struct forward *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++) {
		struct forwarded *w = f->all[i];

		if (w->answered && (w->fd < 0 || buf_len(&w->out) == 0))
			drop(w);
		else
			f->all[n++] = w;
	}
	f->n = n;
}

/* One turn: 0; -errno, of the agent; or the number of a signal. */
static int serve(struct forward *f, bool more)
{
	const struct pollfd *p = f->polled + 3;
	int err = 0;

	f->polled[0] =
		(struct pollfd){.fd = client_fd(f->client), .events = client_events(f->client)};
	f->polled[1] = (struct pollfd){.fd = interrupt_fd(), .events = POLLIN};
	f->polled[2] =
		(struct pollfd){.fd = f->n < MAX_FORWARDED ? f->listener : -1, .events = POLLIN};
	for (size_t i = 0; i < f->n; i++)
		f->polled[3 + i] = interest(f, f->all[i]);
	if (poll(f->polled, 3 + f->n, more ? 0 : -1) < 0)
		return errno == EINTR ? 0 : -errno;
	if (f->polled[1].revents)
		return interrupt_hear();
	for (size_t i = 0; i < f->n && !err; i++)
		err = serve_one(f, f->all[i], &p[i]);
	if (err)
		return err;
	err = f->polled[2].revents ? 1 : 0;
	for (int k = 0; k < BATCH && err > 0 && f->n < MAX_FORWARDED; k++)
		err = take_connection(f);
	return MIN(err, 0);
}

static int forward(struct forward *f)
{
	bool more = false;
	int r = 0;

	while (!r) {
		r = take_messages(f, &more);
		bury(f);
		if (!r)
			r = serve(f, more);
	}
	return r > 0 ? STATUS_SIGNALED + r : ctl_lost(f->ctl);
}

static int start(struct forward *f, const struct place *place)
{
	struct client_msg hello;
	int err, status = ctl_connect(f->ctl, FORWARD_WINDOW, &hello);

	if (status)
		return status;
	f->client = f->ctl->client;
	err = listen_at(f, place);
	if (err)
		return ctl_fail(f->ctl, "cannot listen there: %s", strerror(-err));
	err = interrupt_watch(false);
	if (err)
		return ctl_fail(f->ctl, "cannot make a pipe: %s", strerror(-err));
	status = tell_place(f);
	return status ? status : forward(f);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	struct forward *f;
	struct place place;
	uint64_t port;
	int status;

	if (getopt(argc, argv, "+") != -1)
		return ctl_bad_option(ctl, argv);
	if (optind + 1 != argc)
		return ctl_usage(ctl, "give one [ADDR:]LPORT:PORT");
	if (!parse_what(argv[optind], &place, &port))
		return ctl_usage(
			ctl, "a forward is [ADDR:]LPORT:PORT, with an IP address and numbers");
	f = xcalloc(1, sizeof(*f));
	f->ctl = ctl;
	f->port = port;
	f->listener = -1;
	status = start(f, &place);
	for (size_t i = 0; i < f->n; i++)
		drop(f->all[i]);
	fd_close(&f->listener);
	free(f);
	return status;
}

COMMAND(forward) = {
	.name = "forward",
	.usage = "[ADDR:]LPORT:PORT",
	.doc = "pass connections to a port of ours on to one of the guest",
	.options = "  ADDR    where to listen; 127.0.0.1 where left out\n"
		   "  LPORT   0: any port that is free; it is printed\n"
		   "  PORT    of the guest, at its 127.0.0.1 or ::1\n",
	.run = run,
};
