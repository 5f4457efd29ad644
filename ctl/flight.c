/* ctl/flight.c - many calls of one connection at once */
#include "ctl/flight.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "ctl/interrupt.h"
#include "ctl/relay.h"

/* Messages taken before input and signals have their turn again. */
#define BATCH 64

/* Unsent requests from which no further one is encoded. */
#define OUT_ENOUGH (1u << 20)

#define TICK_MS 250

static struct task *task_of(struct list *link)
{
	return CONTAINER_OF(link, struct task, link);
}

int flight_begin(struct flight *f, struct ctl *ctl)
{
	struct client_msg hello;
	int err, status = ctl->client ? 0 : ctl_connect(ctl, RELAY_WINDOW, &hello);

	*f = (struct flight){.ctl = ctl};
	list_init(&f->tasks);
	if (status)
		return status;
	err = interrupt_watch(false);
	return err ? ctl_fail(ctl, "cannot make a pipe: %s", strerror(-err)) : 0;
}

struct enc *flight_call(struct flight *f, struct task *t, const char *method)
{
	ASSERT(f->n < FLIGHT_MAX);
	t->err = 0;
	return client_begin(f->ctl->client, method, &t->id);
}

int flight_send(struct flight *f, struct task *t)
{
	int err = client_send(f->ctl->client);

	if (err)
		return err;
	list_add_tail(&f->tasks, &t->link);
	f->n++;
	return 0;
}

static void finish(struct flight *f, struct task *t, const struct client_msg *msg)
{
	list_del(&t->link);
	f->n--;
	t->done(t, msg ? msg->error : NULL, msg ? msg->result : NULL);
}

/* The agent is gone: so are its answers. */
static int lose(struct flight *f)
{
	struct task *t;

	if (!f->status)
		f->status = ctl_lost(f->ctl);
	while ((t = LIST_FIRST(&f->tasks, struct task, link)))
		finish(f, t, NULL);
	return f->status;
}

static void no_input(struct task *t)
{
	t->in_fd = -1;
	t->pull = NULL;
}

static int cancel(struct flight *f, struct task *t, int err)
{
	t->err = err;
	no_input(t);
	return client_cancel(f->ctl->client, t->id);
}

static int hear_signal(struct flight *f)
{
	int err = 0, number = interrupt_hear();

	if (number == 0 || f->status)
		return 0;
	f->status = STATUS_SIGNALED + number;
	list_each(link, &f->tasks)
		err = err ? err : cancel(f, task_of(link), 0);
	return err;
}

static struct task *find(struct flight *f, uint32_t id)
{
	list_each(link, &f->tasks) {
		if (task_of(link)->id == id)
			return task_of(link);
	}
	return NULL;
}

/* 0 or -errno. */
static int take_data(struct flight *f, struct task *t, const struct client_msg *msg)
{
	int err = t->take && !t->err ? t->take(t, msg->data, msg->len) : 0;

	return err ? cancel(f, t, err) : 0;
}

static int take(struct flight *f, const struct client_msg *msg)
{
	struct task *t = msg->type == MSG_NOTIFICATION ? NULL : find(f, msg->id);

	if (!t)
		return 0;
	if (msg->type == MSG_DATA)
		return take_data(f, t, msg);
	if (msg->type == MSG_RESPONSE)
		finish(f, t, msg);
	else if (msg->type == MSG_EVENT && t->event)
		t->event(t, msg->event);
	else if (msg->type == MSG_END && msg->channel == 0)
		no_input(t); /* the other side reads no more */
	return 0;
}

/* What has come, up to a batch.  0 or -errno; *MORE: there may be more. */
static int take_batch(struct flight *f, bool *more)
{
	struct client_msg msg;

	*more = true;
	for (int i = 0; i < BATCH; i++) {
		int n = client_next(f->ctl->client, 0, &msg);

		if (n > 0)
			n = take(f, &msg);
		else
			*more = false;
		if (n < 0 || !*more)
			return n;
	}
	return 0;
}

/* One read's worth of a task's input.  0 or -errno. */
static int feed(struct flight *f, struct task *t)
{
	char bytes[MAX_DATA];
	struct client *c = f->ctl->client;
	size_t room = client_room(c, t->id);
	ssize_t n;

	if (!room)
		return 0; /* others were served first */
	room = MIN(room, sizeof(bytes));
	n = t->pull ? (ssize_t)t->pull(t, bytes, room) : read(t->in_fd, bytes, room);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0)
		return cancel(f, t, -errno); /* its end would make half a file a whole one */
	if (n == 0) {
		no_input(t);
		return client_end(c, t->id, 0);
	}
	if (t->fed)
		t->fed(t, (size_t)n);
	return client_data(c, t->id, 0, bytes, (size_t)n);
}

/* Waits, unless MORE, and serves input and signals.  0 or -errno. */
static int serve(struct flight *f, bool more)
{
	struct client *c = f->ctl->client;
	struct pollfd p[2 + FLIGHT_MAX] = {
		{.fd = client_fd(c), .events = client_events(c)},
		{.fd = interrupt_fd(), .events = POLLIN},
	};
	struct task *fed[FLIGHT_MAX];
	nfds_t n = 2;
	int err = 0;

	list_each(link, &f->tasks) {
		struct task *t = task_of(link);

		if ((t->in_fd < 0 && !t->pull) || !client_room(c, t->id))
			continue;
		more = more || t->pull;
		fed[n - 2] = t;
		p[n++] = (struct pollfd){.fd = t->in_fd, .events = POLLIN};
	}
	if (poll(p, n, more ? 0 : f->tick ? TICK_MS : -1) < 0)
		return errno == EINTR ? 0 : -errno;
	if (p[1].revents)
		return hear_signal(f);
	for (nfds_t i = 2; i < n && !err; i++)
		err = p[i].revents || fed[i - 2]->pull ? feed(f, fed[i - 2]) : 0;
	return err;
}

/* 0, or a status of the lost connection. */
static int turn(struct flight *f)
{
	bool more;
	int err = take_batch(f, &more);

	if (!err && (f->n || client_unsent(f->ctl->client)))
		err = serve(f, more);
	if (f->tick)
		f->tick(f->ctx);
	return err ? lose(f) : 0;
}

int flight_room(struct flight *f, unsigned max)
{
	/* Also where nothing has to be waited for, signals are heard. */
	int err = hear_signal(f);

	if (err)
		return lose(f);
	while (!f->status && (f->n >= max || client_unsent(f->ctl->client) >= OUT_ENOUGH)) {
		if (turn(f))
			break;
	}
	return f->status;
}

int flight_end(struct flight *f)
{
	while (f->n && !turn(f))
		;
	interrupt_unwatch();
	return f->status;
}
