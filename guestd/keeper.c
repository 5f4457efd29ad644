/* guestd/keeper.c - pipes that somebody holds for the agent that comes next */
#include "guestd/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/log.h"
#include "guestd/loop.h"
#include "proto/err.h"
#include "proto/limits.h"

/* A keeper whose queue is full reads soon. */
#define RETRY_S 0.02

BUILD_ASSERT(MAX_KEPT == 2 * MAX_PROCESSES);

/* In no order.  Fixed: process 1 allocates nothing. */
static struct {
	uint64_t pipe[MAX_KEPT];
	int fd[MAX_KEPT];
	size_t n;
} kept;

/* What is to be said: drop PIPE, or where FD (ours) is one, keep it. */
struct word {
	uint64_t pipe;
	int fd;
};

static struct {
	const struct keeper *keeper; /* NULL: there is none */
	size_t held;                 /* pipes that are to be dropped some day */
	/* What there was no room for, in order. */
	struct word late[2 * MAX_KEPT];
	size_t n_late;
	struct ev_timer retry;
	bool told;
} ours;

/* The table */

static size_t find(uint64_t pipe)
{
	size_t i = 0;

	while (i < kept.n && kept.pipe[i] != pipe)
		i++;
	return i;
}

static int take_at(size_t i)
{
	int fd = kept.fd[i];

	kept.n--;
	kept.pipe[i] = kept.pipe[kept.n];
	kept.fd[i] = kept.fd[kept.n];
	return fd;
}

void kept_add(uint64_t pipe, int fd)
{
	size_t i = find(pipe);

	if (i < kept.n || i == ARRAY_LEN(kept.pipe)) {
		fd_close(&fd);
		return;
	}
	kept.pipe[i] = pipe;
	kept.fd[i] = fd;
	kept.n++;
}

void kept_remove(uint64_t pipe)
{
	size_t i = find(pipe);
	int fd = i < kept.n ? take_at(i) : -1;

	fd_close(&fd);
}

void kept_close(void)
{
	while (kept.n)
		kept_remove(kept.pipe[kept.n - 1]);
}

/* The agent */

/* Of the same pipe. */
static int another_description(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

static int say(const struct word *w)
{
	return w->fd >= 0 ? ours.keeper->keep(w->pipe, w->fd) : ours.keeper->drop(w->pipe);
}

static bool is_full(int err)
{
	return err == -EAGAIN || err == -ENOBUFS;
}

/* 0, now or soon, or -errno.  Takes W.fd. */
static int say_or_queue(struct word w)
{
	int err = ours.n_late ? -EAGAIN : say(&w);

	if (is_full(err) && ours.n_late < ARRAY_LEN(ours.late)) {
		ours.late[ours.n_late++] = w;
		if (!ev_is_active(&ours.retry))
			ev_timer_again(loop_ev(), &ours.retry);
		return 0;
	}
	fd_close(&w.fd);
	return err;
}

static void on_retry(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	size_t n = 0;

	(void)revents;
	while (n < ours.n_late && !is_full(say(&ours.late[n]))) {
		fd_close(&ours.late[n].fd);
		n++;
	}
	ours.n_late -= n;
	memmove(ours.late, ours.late + n, ours.n_late * sizeof(ours.late[0]));
	if (!ours.n_late)
		ev_timer_stop(ev, w);
}

void keeper_set(const struct keeper *k)
{
	ours.keeper = k;
	ours.held = kept.n;
	ev_timer_init(&ours.retry, on_retry, 0, RETRY_S);
}

int keeper_take(uint64_t pipe)
{
	size_t i = find(pipe);
	int held, fd;

	if (i == kept.n)
		return -1;
	held = take_at(i);
	fd = another_description(held);
	fd_close(&held);
	if (fd < 0) {
		log_limited(LOG_WARN, "keeper", "cannot open a pipe that was kept err=%s",
			err_name(-errno));
		keeper_drop(pipe);
	}
	return fd;
}

/* 0 or -errno. */
static int keep(uint64_t pipe, int fd)
{
	struct word w = {.pipe = pipe};

	if (ours.held >= ours.keeper->max)
		return -ENOSPC;
	w.fd = another_description(fd);
	return w.fd < 0 ? -errno : say_or_queue(w);
}

bool keeper_keep(uint64_t pipe, int fd)
{
	int err;

	if (!ours.keeper)
		return false;
	err = keep(pipe, fd);
	if (!err)
		ours.held++;
	if (err && !ours.told) {
		ours.told = true;
		log_warn("keeper",
			"not everybody's output is kept for an agent after this one held=%zu err=%s",
			ours.held, err_name(err));
	}
	return !err;
}

void keeper_drop(uint64_t pipe)
{
	if (!ours.keeper)
		return;
	ours.held--;
	(void)say_or_queue((struct word){.pipe = pipe, .fd = -1}); /* or it is gone itself */
}

void keeper_done(void)
{
	while (kept.n) {
		uint64_t pipe = kept.pipe[kept.n - 1];

		kept_remove(pipe);
		keeper_drop(pipe);
	}
}

void keeper_stop(void)
{
	if (ours.keeper)
		ev_timer_stop(loop_ev(), &ours.retry);
}
