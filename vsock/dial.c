/* vsock/dial.c - connecting to an agent, as a host does */
#include "vsock/dial.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "vsock/bridge.h"
#include "vsock/port.h"

static int fail(int err, char *why, size_t why_len, const char *what, const char *where)
{
	snprintf(why, why_len, "%s %s: %s", what, where, strerror(-err));
	return err;
}

/* connect(2) waits for a full backlog as long as a send would: unix(7), socket(7). */
static int connect_within(int fd, const struct sockaddr *addr, socklen_t len, int timeout_ms)
{
	struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000L}, none = {0};

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0 ||
		connect(fd, addr, len) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none)) < 0 ? -errno : 0;
}

static int dial_unix(const struct endpoint *ep, int timeout_ms, char *why, size_t why_len)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int err;

	memcpy(addr.sun_path, ep->path, sizeof(ep->path));
	err = connect_within(fd, (struct sockaddr *)&addr, sizeof(addr), timeout_ms);
	if (err)
		return fail(err, why, why_len, "cannot connect to", ep->path);
	return take_fd(&fd);
}

/* The kernel's own limit is two seconds; struct timeval, as SO_VM_SOCKETS_CONNECT_TIMEOUT takes it. */
static int limit_connect(int fd, int timeout_ms)
{
	struct timeval limit = {timeout_ms / 1000, timeout_ms % 1000 * 1000L};

	return setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &limit, sizeof(limit));
}

static int dial_vsock(const struct endpoint *ep, int timeout_ms, char *why, size_t why_len)
{
	struct sockaddr_vm addr = {
		.svm_family = AF_VSOCK, .svm_cid = ep->cid, .svm_port = ep->port};
	char where[32];
	cleanup_fd int fd = -1;

	if (!ep->has_cid)
		return fail(-EINVAL, why, why_len, "to dial, write", "vsock:CID:PORT");
	snprintf(where, sizeof(where), "vsock:%u:%u", ep->cid, ep->port);
	fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || limit_connect(fd, timeout_ms) < 0 ||
		connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return fail(-errno, why, why_len, "cannot connect to", where);
	return take_fd(&fd);
}

/* One byte before DEADLINE_US: 1, 0 at the end of the stream, or -errno. */
static int read_byte(int fd, uint64_t deadline_us, char *out)
{
	for (;;) {
		uint64_t now = clock_mono_us();
		struct pollfd p = {.fd = fd, .events = POLLIN};
		ssize_t n;
		int r;

		if (now >= deadline_us)
			return -ETIMEDOUT;
		r = poll(&p, 1, (int)((deadline_us - now) / 1000) + 1);
		if (r == 0 || (r < 0 && errno == EINTR))
			continue;
		if (r < 0)
			return -errno;
		n = read(fd, out, 1);
		if (n < 0 && errno == EINTR)
			continue;
		return n < 0 ? -errno : (int)n;
	}
}

/*
 * Firecracker drops a CONNECT that comes in two pieces, so it is one write; and the answer is
 * read bytewise, because the agent's first bytes may stand right behind it.
 */
static int hybrid_handshake(
	int fd, const struct endpoint *ep, int timeout_ms, char *why, size_t why_len)
{
	uint64_t deadline = clock_mono_us() + (uint64_t)timeout_ms * 1000;
	char line[64];
	size_t len = (size_t)snprintf(line, sizeof(line), "CONNECT %u\n", ep->port);

	if (send(fd, line, len, MSG_NOSIGNAL) != (ssize_t)len)
		return fail(-EIO, why, why_len, "cannot send CONNECT to", ep->path);
	for (len = 0; len < sizeof(line); len++) {
		int n = read_byte(fd, deadline, &line[len]);

		if (n < 0)
			return fail(n, why, why_len, "no answer to CONNECT from", ep->path);
		if (n == 0)
			return fail(-ECONNREFUSED, why, why_len,
				"nobody listens on that port of the guest behind", ep->path);
		if (line[len] == '\n')
			break;
	}
	if (len == sizeof(line) || strncmp(line, "OK ", 3) != 0)
		return fail(-EPROTO, why, why_len, "unexpected answer to CONNECT from", ep->path);
	return 0;
}

/*
 * Carries bytes between a line and the caller's socket until one of the two ends, on a thread of
 * its own: the caller may block where it likes.
 */
static void *carry(void *arg)
{
	struct bridge *b = arg;
	int err = 0;

	while (!err) {
		struct pollfd p[] = {
			{.fd = b->line, .events = bridge_line_events(b)},
			{.fd = b->stream, .events = bridge_stream_events(b)},
		};

		if (poll(p, ARRAY_LEN(p), -1) < 0)
			continue;
		if (p[0].revents & POLLOUT)
			err = bridge_line_out(b);
		if (!err && p[1].revents & POLLOUT)
			err = bridge_stream_out(b);
		if (!err && p[0].revents & ~POLLOUT && p[0].events & POLLIN)
			err = bridge_line_in(b);
		if (!err && p[1].revents & ~POLLOUT && p[1].events & POLLIN)
			err = bridge_stream_in(b);
	}
	fd_close(&b->line);
	fd_close(&b->stream);
	bridge_fini(b);
	free(b);
	return NULL;
}

static int start_carrying(int line, int stream)
{
	struct bridge *b = xcalloc(1, sizeof(*b));
	pthread_t thread;
	int err;

	bridge_init(b, line, stream);
	err = pthread_create(&thread, NULL, carry, b);
	if (err) {
		bridge_fini(b);
		free(b);
		return -err;
	}
	return -pthread_detach(thread);
}

/* A tty of ours, or the Unix socket that a hypervisor makes of the guest's port. */
static int dial_serial(const struct endpoint *ep, int timeout_ms, char *why, size_t why_len)
{
	cleanup_fd int line = -1, ours = -1, theirs = -1;
	struct stat st;
	int end[2], err;

	if (stat(ep->path, &st) == 0 && S_ISSOCK(st.st_mode))
		line = dial_unix(ep, timeout_ms, why, why_len);
	else
		line = port_open(ep, why, why_len);
	if (line < 0)
		return take_fd(&line);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, end) < 0)
		return fail(-errno, why, why_len, "cannot make a socket for", ep->path);
	ours = end[0];
	theirs = end[1];
	err = fd_set_nonblock(line);
	if (!err)
		err = fd_set_nonblock(theirs);
	if (!err)
		err = start_carrying(line, theirs);
	if (err)
		return fail(err, why, why_len, "cannot use", ep->path);
	(void)take_fd(&line), (void)take_fd(&theirs);
	return take_fd(&ours);
}

int dial(const struct endpoint *ep, int timeout_ms, char *why, size_t why_len)
{
	cleanup_fd int fd = -1;
	int err;

	switch (ep->kind) {
	case ENDPOINT_VSOCK:
		return dial_vsock(ep, timeout_ms, why, why_len);
	case ENDPOINT_UNIX:
		return dial_unix(ep, timeout_ms, why, why_len);
	case ENDPOINT_UDS:
		fd = dial_unix(ep, timeout_ms, why, why_len);
		err = fd < 0 ? fd : hybrid_handshake(fd, ep, timeout_ms, why, why_len);
		return err ? err : take_fd(&fd);
	case ENDPOINT_SERIAL:
		return dial_serial(ep, timeout_ms, why, why_len);
	case ENDPOINT_FD:
		break;
	}
	return fail(-EINVAL, why, why_len, "fd:N", "is for listening");
}
