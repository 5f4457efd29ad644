/*
 * guestd/emit.c - `guestd emit TYPE [DATA|-]`: a process of the guest tells the host something
 *
 * The event is one datagram, `TYPE\nBYTES`.  The agent learns from the kernel which process sent
 * it, and from /proc whose it is: so that there is something to be seen, this process stays until
 * the datagram was taken out of the socket.
 */
#include "guestd/emit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <linux/sockios.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "proto/err.h"
#include "proto/limits.h"

#define DEFAULT_SOCKET "/run/guestd/events.sock"

/* How long an agent may take to make room for the datagram, and then to take it. */
#define SEND_TIMEOUT_S 5
#define TAKE_TIMEOUT_S 5

/* How often we look whether it was taken: the agent is awake in no time, or busy. */
#define LOOK_FIRST_US 100
#define LOOK_LAST_US  5000

enum { DONE = 0, FAILED = 1, MISUSED = 2 };

static const char usage[] =
	"usage: guestd emit TYPE [DATA|-]\n"
	"Tells the host of an event, from inside a process that the agent started.\n\n"
	"  TYPE   1 to 64 of a-z 0-9 . _ -\n"
	"  DATA   goes with it; - reads it from stdin; at most 60 KiB with TYPE\n";

struct message {
	char bytes[EMIT_MAX + 1]; /* one more, to notice that there is more */
	size_t len;
};

static int misused(const char *why)
{
	fprintf(stderr, "guestd emit: %s\n%s", why, usage);
	return MISUSED;
}

static bool type_is_valid(const char *type)
{
	size_t len = strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789._-");

	return len >= 1 && len <= EMIT_TYPE_MAX && !type[len];
}

/* What does not fit is left out, but for one byte that tells of it. */
static void add(struct message *m, const char *bytes, size_t len)
{
	size_t n = MIN(len, sizeof(m->bytes) - m->len);

	memcpy(m->bytes + m->len, bytes, n);
	m->len += n;
}

static int add_stdin(struct message *m)
{
	ssize_t n = fd_read_all(STDIN_FILENO, m->bytes + m->len, sizeof(m->bytes) - m->len);

	if (n < 0)
		return (int)n;
	m->len += (size_t)n;
	return 0;
}

/* 0 when the agent took what FD sent, or threw it away; -ETIMEDOUT. */
static int wait_until_taken(int fd)
{
	uint64_t deadline = clock_mono_us() + TAKE_TIMEOUT_S * UINT64_C(1000000);
	long pause_us = LOOK_FIRST_US;
	int unread;

	/* On AF_UNIX: what was sent and not received, unix(7). */
	while (ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > 0) {
		struct timespec pause = {.tv_nsec = pause_us * 1000};

		if (clock_mono_us() > deadline)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
		pause_us = MIN(2 * pause_us, LOOK_LAST_US);
	}
	return 0;
}

static int send_message(const struct message *m, const char *path)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S};
	cleanup_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	memcpy(to.sun_path, path, strlen(path));
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0)
		return -errno;
	/* Waits while the queue of the agent is full: net.unix.max_dgram_qlen. */
	do {
		n = sendto(fd, m->bytes, m->len, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof(to));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return wait_until_taken(fd);
}

static int fail(int err, const char *what, const char *path)
{
	if (err == -ETIMEDOUT)
		fprintf(stderr, "guestd emit: the agent takes nothing from %s\n", path);
	else
		fprintf(stderr, "guestd emit: cannot %s %s: %s (%s)\n", what, path, strerror(-err),
			err_name(err));
	return FAILED;
}

int emit(int argc, char **argv)
{
	static struct message m;
	const char *path = getenv("GUESTD_EVENTS"), *type, *data;
	int err;

	if (argc > 0 && strcmp(argv[0], "--help") == 0) {
		fputs(usage, stdout);
		return fflush(stdout) ? FAILED : DONE;
	}
	if (argc > 0 && strcmp(argv[0], "--") == 0)
		argc--, argv++;
	if (argc < 1 || argc > 2)
		return misused(argc < 1 ? "TYPE is missing" : "there is more than TYPE and DATA");
	type = argv[0];
	data = argc > 1 ? argv[1] : "";
	if (!type_is_valid(type))
		return misused("TYPE has to be 1 to 64 of a-z 0-9 . _ -");
	add(&m, type, strlen(type));
	add(&m, "\n", 1);
	if (strcmp(data, "-") != 0)
		add(&m, data, strlen(data));
	else if ((err = add_stdin(&m)))
		return fail(err, "read", "stdin");
	if (m.len > EMIT_MAX)
		return misused("TYPE, a newline and DATA are longer than 60 KiB");
	if (!path || !*path)
		path = DEFAULT_SOCKET;
	err = send_message(&m, path);
	return err ? fail(err, "send to", path) : DONE;
}
