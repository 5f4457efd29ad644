/* proc/inbox.c - events from inside the guest */
#include "proc/inbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "guestd/config.h"
#include "guestd/event.h"
#include "guestd/loop.h"
#include "proc/process.h"
#include "proto/limits.h"

/* Datagrams taken in one turn, so that a flood of them stops nothing else. */
#define BATCH 32

static struct {
	int fd;
	struct ev_io io;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char datagram[EMIT_MAX + 1];
} inbox = {.fd = -1};

const char *inbox_path(void)
{
	return inbox.fd >= 0 ? inbox.path : NULL;
}

/* The length of TYPE, or 0 when LEN bytes are no event. */
static size_t type_length(const char *bytes, size_t len)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";
	const char *end = memchr(bytes, '\n', MIN(len, EMIT_TYPE_MAX + 1));

	if (len > EMIT_MAX || !end)
		return 0;
	for (const char *p = bytes; p < end; p++) {
		if (!*p || !strchr(allowed, *p))
			return 0;
	}
	return (size_t)(end - bytes);
}

static void publish(const struct process *p, pid_t pid, size_t len)
{
	size_t type = type_length(inbox.datagram, len);
	char name[EMIT_TYPE_MAX + 1];
	struct enc *e;

	if (!type) {
		log_limited(
			LOG_INFO, "inbox", "no event pid=%d id=%s len=%zu", (int)pid, p->id, len);
		return;
	}
	memcpy(name, inbox.datagram, type);
	name[type] = '\0';
	e = event_begin("user", p->number, 4);
	enc_kv_str(e, "name", name);
	enc_kv_bin(e, "data", inbox.datagram + type + 1, len - type - 1);
	enc_kv_int(e, "pid", pid);
	enc_kv_text(e, "id", p->id);
	event_end();
}

/* Who sent what recvmsg(2) took; 0 when it does not say. */
static pid_t sender(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		struct ucred cred;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
			continue;
		memcpy(&cred, CMSG_DATA(c), sizeof(cred));
		return cred.pid;
	}
	return 0;
}

/* One datagram.  False when there is none. */
static bool take(void)
{
	/* Descriptors that somebody sends along find no room, and the kernel closes them. */
	char control[CMSG_SPACE(sizeof(struct ucred))] __attribute__((aligned(8)));
	struct iovec iov = {inbox.datagram, sizeof(inbox.datagram)};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	/*
	 * First a look, while a sender that waits for us to take it (guestd emit) is surely
	 * alive: the dead have no cgroup.
	 */
	ssize_t len = recvmsg(inbox.fd, &msg, MSG_PEEK | MSG_CMSG_CLOEXEC);
	struct process *p;
	pid_t pid;

	if (len < 0)
		return false;
	pid = sender(&msg);
	p = pid > 0 ? process_of(pid) : NULL;
	/* Who has something to say has been executed, whatever was heard first. */
	if (p && p->spawn)
		spawn_reaped(p->spawn);
	if (p)
		publish(p, pid, (size_t)len);
	else
		log_limited(LOG_INFO, "inbox", "not one of ours pid=%d len=%zd", (int)pid, len);
	recv(inbox.fd, inbox.datagram, 0, 0); /* and away with it */
	return true;
}

void inbox_poll(void)
{
	for (int i = 0; inbox.fd >= 0 && i < BATCH && take(); i++)
		;
}

static void on_readable(struct ev_loop *ev, struct ev_io *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	inbox_poll();
}

static int open_socket(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int on = 1, err = 0;

	if (snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/events.sock", config()->run_dir) >=
		(int)sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	inbox.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (inbox.fd < 0)
		return -errno;
	unlink(addr.sun_path); /* of an agent that is gone */
	if (setsockopt(inbox.fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
		bind(inbox.fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
		chmod(addr.sun_path, 0666) < 0) {
		err = -errno;
		fd_close(&inbox.fd);
		return err;
	}
	memcpy(inbox.path, addr.sun_path, sizeof(inbox.path));
	return 0;
}

void inbox_start(void)
{
	int err = open_socket();

	if (err) {
		log_warn("inbox", "no in-guest events run-dir=%s err=%s", config()->run_dir,
			strerror(-err));
		return;
	}
	ev_io_init(&inbox.io, on_readable, inbox.fd, EV_READ);
	ev_io_start(loop_ev(), &inbox.io);
}

void inbox_stop(void)
{
	if (inbox.fd < 0)
		return;
	unlink(inbox.path);
	ev_io_stop(loop_ev(), &inbox.io);
	fd_close(&inbox.fd);
}
