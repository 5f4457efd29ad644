/* init/control.c - what process 1 and the agent have to say to each other */
#include "init/control.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/pass.h"
#include "guestd/keeper.h"
#include "guestd/loop.h"
#include "guestd/orphans.h"
#include "proto/limits.h"

/* Per turn of the loop: a storm of ends does not keep it from its connections. */
#define READ_AT_ONCE 64

/*
 * Of the kernel's memory, at most: a thousand ends and more, when the agent is not there to hear of
 * them.  The usual limit is a fifth of it.
 */
#define QUEUE_BYTES (512u << 10)

/* Of process 1, beside those that it keeps: these sockets, signals, a tty's child. */
#define OWN_FDS 64

enum kind {
	SAY_END = 1, /* either way */
	SAY_DONE,    /* the agent */
	SAY_KEEP,    /* the agent, with a descriptor */
	SAY_DROP,    /* the agent */
	SAY_ENDED    /* process 1 */
};

/* Both ends are of one program: no bytes of another. */
struct message {
	enum kind kind;
	struct control_plan plan; /* SAY_END */
	pid_t pid;                /* SAY_ENDED */
	int status;
	uint64_t pipe; /* SAY_KEEP, SAY_DROP */
};

static int ours = -1;   /* process 1's end, in process 1 */
static int theirs = -1; /* the agent's end */

/* In the agent. */
static bool machine_ends;
static void (*end_listener)(void);
static struct ev_io io;

/* Process 1's limit of descriptors, before it made room for those that are kept. */
static struct rlimit files_before;
static bool has_room;

/* PASSED goes with it, unless that is -1. */
static int say_with(int fd, const struct message *m, int passed)
{
	union pass control;
	struct iovec iov = {.iov_base = (void *)m, .iov_len = sizeof(*m)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (passed >= 0)
		pass_attach(&msg, &control, passed);
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int say(int fd, const struct message *m)
{
	return say_with(fd, m, -1);
}

/* 1; 0 when the other end is gone; -EAGAIN when it says nothing now.  *PASSED: what came with it, or -1. */
static int hear(int fd, struct message *m, int *passed)
{
	union pass control;
	struct iovec iov = {.iov_base = m, .iov_len = sizeof(*m)};

	*passed = -1;
	/* ECONNRESET is said once, of what the other one left unread, and hides what it sent. */
	for (int tries = 0; tries < 3; tries++) {
		struct msghdr msg = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control)};
		ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (n == (ssize_t)sizeof(*m)) {
			*passed = pass_taken(&msg);
			return 1;
		}
		if (n == 0)
			return 0;
		if (n < 0 && errno == EAGAIN)
			return -EAGAIN;
	}
	return 0;
}

/* Process 1 */

void control_make_room(void)
{
	struct rlimit more;

	if (getrlimit(RLIMIT_NOFILE, &files_before) < 0)
		return;
	more = files_before;
	more.rlim_cur = MAX(more.rlim_cur, (rlim_t)(MAX_KEPT + OWN_FDS));
	more.rlim_max = MAX(more.rlim_max, more.rlim_cur);
	has_room = setrlimit(RLIMIT_NOFILE, &more) == 0;
	if (!has_room)
		log_warn("init", "no room for all pipes that an agent leaves err=%s",
			strerror(errno));
}

/* In a child: what it starts has the usual limit. */
static void give_room_back(void)
{
	if (has_room)
		(void)setrlimit(RLIMIT_NOFILE, &files_before);
}

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
	(void)setsockopt(theirs, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
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

/* Was it about a pipe? */
static bool heard_of_pipe(const struct message *m, int passed)
{
	if (m->kind == SAY_KEEP && passed >= 0)
		kept_add(m->pipe, passed);
	else
		fd_close(&passed);
	if (m->kind == SAY_DROP)
		kept_remove(m->pipe);
	return m->kind == SAY_KEEP || m->kind == SAY_DROP;
}

enum control_said control_hear(struct control_plan *plan)
{
	struct message m;
	int heard, passed;

	do {
		heard = ours < 0 ? -EAGAIN : hear(ours, &m, &passed);
	} while (heard > 0 && heard_of_pipe(&m, passed));
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
	kept_close();
	give_room_back();
}

/* The agent */

void control_join(void)
{
	fd_close(&ours);
	give_room_back();
}

static int say_keep(uint64_t pipe, int fd)
{
	struct message m;

	memset(&m, 0, sizeof(m));
	m.kind = SAY_KEEP;
	m.pipe = pipe;
	return say_with(theirs, &m, fd);
}

static int say_drop(uint64_t pipe)
{
	struct message m;

	memset(&m, 0, sizeof(m));
	m.kind = SAY_DROP;
	m.pipe = pipe;
	return say(theirs, &m);
}

static const struct keeper keeper = {.max = MAX_KEPT, .keep = say_keep, .drop = say_drop};

static void on_readable(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct message m;
	int heard = 1, passed;

	(void)revents;
	for (int i = 0; i < READ_AT_ONCE && (heard = hear(w->fd, &m, &passed)) > 0; i++) {
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
	keeper_set(&keeper);
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
