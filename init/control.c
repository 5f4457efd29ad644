/* init/control.c - what process 1 and the agent have to say to each other */
#include "init/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/log.h"
#include "guestd/loop.h"
#include "guestd/orphans.h"

/* Per turn of the loop: a storm of ends does not keep it from its connections. */
#define READ_AT_ONCE 64

/*
 * Of the kernel's memory, at most: a thousand ends and more, when the agent is not there to hear of
 * them.  The usual limit is a fifth of it.
 */
#define QUEUE_BYTES (512u << 10)

enum kind {
	SAY_END = 1, /* either way */
	SAY_DONE,    /* the agent */
	SAY_ENDED    /* process 1 */
};

/* Both ends are of one program: no bytes of another. */
struct message {
	enum kind kind;
	struct control_plan plan; /* SAY_END */
	pid_t pid;                /* SAY_ENDED */
	int status;
};

static int ours = -1;   /* process 1's end, in process 1 */
static int theirs = -1; /* the agent's end */

/* In the agent. */
static bool machine_ends;
static void (*end_listener)(void);
static struct ev_io io;

static int say(int fd, const struct message *m)
{
	return send(fd, m, sizeof(*m), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* 1; 0 when the other end is gone; -EAGAIN when it says nothing now. */
static int hear(int fd, struct message *m)
{
	/* ECONNRESET is said once, of what the other one left unread, and hides what it sent. */
	for (int tries = 0; tries < 3; tries++) {
		ssize_t n = recv(fd, m, sizeof(*m), MSG_DONTWAIT);

		if (n == (ssize_t)sizeof(*m))
			return 1;
		if (n == 0)
			return 0;
		if (n < 0 && errno == EAGAIN)
			return -EAGAIN;
	}
	return 0;
}

/* Process 1 */

int control_renew(void)
{
	int pair[2], bytes = QUEUE_BYTES;

	fd_close(&ours);
	fd_close(&theirs);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	(void)setsockopt(ours, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	return 0;
}

void control_forked(void)
{
	fd_close(&theirs);
}

int control_fd(void)
{
	return ours;
}

enum control_said control_hear(struct control_plan *plan)
{
	struct message m;
	int heard = ours < 0 ? -EAGAIN : hear(ours, &m);

	if (heard == 0)
		fd_close(&ours);
	if (heard <= 0)
		return SAID_NOTHING;
	if (m.kind == SAY_DONE)
		return SAID_DONE;
	*plan = m.plan;
	return SAID_END;
}

int control_tell_end(void)
{
	struct message m;

	if (ours < 0)
		return -ENOTCONN;
	memset(&m, 0, sizeof(m));
	m.kind = SAY_END;
	return say(ours, &m);
}

void control_tell_ended(pid_t pid, int status)
{
	struct message m;

	memset(&m, 0, sizeof(m));
	m.kind = SAY_ENDED;
	m.pid = pid;
	m.status = status;
	/* Dropped where the agent does not keep up: it finds out by itself that PID is gone. */
	if (ours >= 0 && say(ours, &m))
		log_debug("init", "the agent was not told of an end pid=%d", (int)pid);
}

void control_leave(void)
{
	fd_close(&ours);
	fd_close(&theirs);
}

/* The agent */

void control_join(void)
{
	fd_close(&ours);
}

static void on_readable(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct message m;
	int heard = 1;

	(void)revents;
	for (int i = 0; i < READ_AT_ONCE && (heard = hear(w->fd, &m)) > 0; i++) {
		if (m.kind == SAY_ENDED)
			orphans_ended(m.pid, m.status);
		if (m.kind == SAY_END) {
			machine_ends = true;
			end_listener();
		}
	}
	if (heard)
		return;
	ev_io_stop(ev, w);
	log_error("init", "the supervisor is gone: nobody will start the agent again");
}

int control_start(void (*on_end)(void))
{
	end_listener = on_end;
	if (theirs < 0)
		return 0;
	ev_io_init(&io, on_readable, theirs, EV_READ);
	ev_io_start(loop_ev(), &io);
	orphans_expect();
	return 0;
}

void control_stop(void)
{
	if (theirs >= 0)
		ev_io_stop(loop_ev(), &io);
}

bool control_is_there(void)
{
	return theirs >= 0;
}

int control_ask_end(const struct control_plan *plan)
{
	struct message m;
	int err;

	if (theirs < 0)
		return -ENOTCONN;
	memset(&m, 0, sizeof(m));
	m.kind = SAY_END;
	m.plan = *plan;
	err = say(theirs, &m);
	machine_ends = !err;
	return err;
}

bool control_machine_ends(void)
{
	return machine_ends;
}

void control_done(void)
{
	struct message m;

	memset(&m, 0, sizeof(m));
	m.kind = SAY_DONE;
	if (say(theirs, &m))
		log_warn("init", "process 1 was not told that the agent is done");
}
