/*
 * vsock/listen.c - listening sockets, and whom they let in
 *
 * A process of the guest must not reach the agent: on AF_VSOCK by the peer's CID (1 is the
 * loopback of the guest itself, above 2 are sibling machines), on Unix sockets by the file's
 * mode and again by SO_PEERCRED.
 */
#include "vsock/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

#include "base/fd.h"

/*
 * A full queue answers a connect with a reset on AF_VSOCK (virtio_transport_recv_listen), so
 * be generous; the kernel lowers it to net.core.somaxconn.
 */
#define BACKLOG 4096

/*
 * Accepted sockets inherit the listener's buffers.  The kernel's default of 256 KiB resets a
 * connection with ENOBUFS after some 455 small packets in the queue (Linux 6.12.94 and later
 * count the overhead of each).
 */
#define VSOCK_BUFFER (4u << 20)

void peer_policy_init(struct peer_policy *policy)
{
	*policy = (struct peer_policy){.cid = {VMADDR_CID_HOST}, .n_cids = 1};
}

static int fail(int err, char *why, size_t why_len, const char *what, const char *where)
{
	snprintf(why, why_len, "%s %s: %s", what, where, strerror(-err));
	return err;
}

static int open_vsock(const struct endpoint *ep, char *why, size_t why_len)
{
	struct sockaddr_vm addr = {
		.svm_family = AF_VSOCK,
		/* Never the CID read at boot: a restored clone has another one. */
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = ep->port,
	};
	uint64_t size = VSOCK_BUFFER;
	char port[16];
	cleanup_fd int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(port, sizeof(port), "%u", ep->port);
	if (fd < 0)
		return fail(-errno, why, why_len, "cannot make a socket for vsock port", port);
	/* The maximum first: the size is clamped to it (af_vsock.c).  Refused: the default serves. */
	if (setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_MAX_SIZE, &size, sizeof(size)) == 0 &&
		setsockopt(fd, AF_VSOCK, SO_VM_SOCKETS_BUFFER_SIZE, &size, sizeof(size)) < 0)
		return fail(-errno, why, why_len, "cannot set the buffers of vsock port", port);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return fail(-errno, why, why_len, "cannot bind vsock port", port);
	if (listen(fd, BACKLOG) < 0)
		return fail(-errno, why, why_len, "cannot listen on vsock port", port);
	return take_fd(&fd);
}

/* Is anybody listening behind this path?  A socket file outlives its daemon. */
static bool answers(const struct sockaddr_un *addr)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd >= 0 && (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0 ||
				  errno != ECONNREFUSED);
}

static int open_unix(const struct endpoint *ep, char *why, size_t why_len)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return fail(-errno, why, why_len, "cannot make a socket for", ep->path);
	memcpy(addr.sun_path, ep->path, sizeof(ep->path));
	if (lstat(ep->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
		if (answers(&addr))
			return fail(
				-EADDRINUSE, why, why_len, "another daemon listens on", ep->path);
		unlink(ep->path);
	}
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return fail(-errno, why, why_len, "cannot bind", ep->path);
	/* Before listen(2) nobody can connect, so there is no moment with a wider mode. */
	if (chmod(ep->path, 0600) < 0 || listen(fd, BACKLOG) < 0) {
		int err = -errno;

		unlink(ep->path);
		return fail(err, why, why_len, "cannot listen on", ep->path);
	}
	return take_fd(&fd);
}

static int open_inherited(const struct endpoint *ep, char *why, size_t why_len)
{
	int listening = 0;
	socklen_t len = sizeof(listening);
	char number[16];

	snprintf(number, sizeof(number), "%d", ep->fd);
	if (getsockopt(ep->fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0)
		return fail(-errno, why, why_len, "cannot use inherited descriptor", number);
	if (!listening)
		return fail(-EINVAL, why, why_len, "not a listening socket: descriptor", number);
	if (fcntl(ep->fd, F_SETFD, FD_CLOEXEC) < 0 || fd_set_nonblock(ep->fd) < 0)
		return fail(-errno, why, why_len, "cannot use inherited descriptor", number);
	return ep->fd;
}

int listen_open(const struct endpoint *ep, char *why, size_t why_len)
{
	switch (ep->kind) {
	case ENDPOINT_VSOCK:
		if (ep->has_cid)
			return fail(-EINVAL, why, why_len, "vsock:CID:PORT", "is for dialing");
		return open_vsock(ep, why, why_len);
	case ENDPOINT_UNIX:
		return open_unix(ep, why, why_len);
	case ENDPOINT_FD:
		return open_inherited(ep, why, why_len);
	case ENDPOINT_UDS:
	case ENDPOINT_SERIAL:
		break;
	}
	return fail(-EINVAL, why, why_len, "uds:PATH:PORT", "is for dialing");
}

bool listen_may_come(const struct endpoint *ep, int err)
{
	/* No driver, no device, no transport: modules may still load. */
	return ep->kind == ENDPOINT_VSOCK &&
	       (err == -EAFNOSUPPORT || err == -ENODEV || err == -EADDRNOTAVAIL || err == -ENXIO);
}

void listen_unlink(const struct endpoint *ep)
{
	if (ep->kind == ENDPOINT_UNIX)
		unlink(ep->path);
}

/* 0 or -EACCES. */
static int check_vsock(
	const struct sockaddr_vm *peer, const struct peer_policy *policy, char *why, size_t why_len)
{
	for (size_t i = 0; i < policy->n_cids; i++) {
		if (policy->cid[i] == peer->svm_cid)
			return 0;
	}
	snprintf(why, why_len, "peer CID %u is not allowed", peer->svm_cid);
	return -EACCES;
}

static int check_unix(int fd, char *why, size_t why_len)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		snprintf(why, why_len, "peer without credentials");
		return -EACCES;
	}
	if (cred.uid == 0 || cred.uid == geteuid())
		return 0;
	snprintf(why, why_len, "peer uid %u pid %d is not allowed", cred.uid, (int)cred.pid);
	return -EACCES;
}

int listen_accept(int listener, const struct peer_policy *policy, char *why, size_t why_len)
{
	union {
		struct sockaddr any;
		struct sockaddr_vm vm;
		struct sockaddr_un un;
	} peer = {.any.sa_family = AF_UNSPEC};
	socklen_t len = sizeof(peer);
	int err;
	cleanup_fd int fd = accept4(listener, &peer.any, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return -errno;
	if (peer.any.sa_family == AF_VSOCK) {
		err = check_vsock(&peer.vm, policy, why, why_len);
	} else if (peer.any.sa_family == AF_UNIX) {
		err = check_unix(fd, why, why_len);
	} else {
		snprintf(why, why_len, "peer of address family %d", peer.any.sa_family);
		err = -EACCES;
	}
	return err ? err : take_fd(&fd);
}
