/* guestd/notify.c - what the service manager that started the agent is told */
#include "guestd/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/pass.h"
#include "guestd/loop.h"
#include "proto/err.h"

#define READY_TIMEOUT_S 5

static struct {
	struct sockaddr_un to;
	socklen_t to_len; /* 0: there is no manager */
	uint64_t watchdog_us;
	struct ev_timer watchdog;
} manager;

/* A path, or @ and a name without a file. */
static void set_address(const char *socket)
{
	size_t len = strlen(socket);

	if ((*socket != '/' && *socket != '@') || len < 2 || len >= sizeof(manager.to.sun_path)) {
		log_warn("notify", "NOTIFY_SOCKET is no Unix socket that can be reached: %.120s",
			socket);
		return;
	}
	manager.to.sun_family = AF_UNIX;
	memcpy(manager.to.sun_path, socket, len);
	if (*socket == '@')
		manager.to.sun_path[0] = '\0';
	manager.to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/* The watchdog is for WATCHDOG_PID, where that is given: an agent's parent may have had it. */
static uint64_t watchdog_us(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	char *end;
	unsigned long long value;

	if (!usec || (pid && strtol(pid, NULL, 10) != getpid()))
		return 0;
	value = strtoull(usec, &end, 10);
	if (*usec < '0' || *usec > '9' || *end || value == 0 || value >= UINT64_MAX) {
		log_warn("notify", "WATCHDOG_USEC is no number of microseconds: %.40s", usec);
		return 0;
	}
	return value;
}

void notify_init(void)
{
	const char *socket = getenv("NOTIFY_SOCKET");

	if (socket)
		set_address(socket);
	if (manager.to_len)
		manager.watchdog_us = watchdog_us();
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

/*
 * A socket for each message: they are few, and a manager that was executed anew has another one at
 * the same place.  The credentials that it looks at come with every datagram.
 */
static void tell(const char *text, int flags)
{
	const struct timeval patience = {.tv_sec = READY_TIMEOUT_S};
	const struct sockaddr *to = (const struct sockaddr *)&manager.to;
	cleanup_fd int fd = -1;

	if (!manager.to_len)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0 ||
		sendto(fd, text, strlen(text), flags | MSG_NOSIGNAL, to, manager.to_len) < 0)
		log_limited(LOG_WARN, "notify", "cannot tell the service manager %.*s: %s",
			(int)strcspn(text, "\n"), text, err_name(-errno));
}

int notify_send(const char *text, int fd)
{
	union pass control;
	struct iovec iov = {.iov_base = (char *)text, .iov_len = strlen(text)};
	struct msghdr msg = {.msg_name = &manager.to,
		.msg_namelen = manager.to_len,
		.msg_iov = &iov,
		.msg_iovlen = 1};
	cleanup_fd int via = -1;

	if (!manager.to_len)
		return -ENOTCONN;
	if (fd >= 0)
		pass_attach(&msg, &control, fd);
	via = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (via < 0 || sendmsg(via, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

static void on_watchdog(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)ev, (void)w, (void)revents;
	tell("WATCHDOG=1", MSG_DONTWAIT);
}

void notify_ready(const char *status)
{
	char text[512];

	snprintf(text, sizeof(text), "READY=1\nMAINPID=%d\nSTATUS=%.400s", (int)getpid(), status);
	tell(text, 0);
	if (manager.watchdog_us) {
		double half = (double)manager.watchdog_us / 2e6;

		ev_now_update(
			loop_ev()); /* the loop has not run yet: its time is that of the start */
		ev_timer_init(&manager.watchdog, on_watchdog, half, half);
		ev_timer_start(loop_ev(), &manager.watchdog);
	}
}

void notify_status(const char *status)
{
	char text[512];

	snprintf(text, sizeof(text), "STATUS=%.400s", status);
	tell(text, MSG_DONTWAIT);
}

void notify_stopping(void)
{
	tell("STOPPING=1\nSTATUS=ending", MSG_DONTWAIT);
}
