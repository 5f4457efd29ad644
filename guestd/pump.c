/* guestd/pump.c - bytes between a descriptor and memory */
#include "guestd/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"

/* A writer that fills the default pipe of 64 KiB gets a larger one: fewer, larger reads. */
#define PIPE_WIDE_AFTER (256u << 10)
#define PIPE_WIDE       (256 << 10)

/*
 * One read: a data message, still in the cache when it is sent.  Reads of 256 KiB from a pipe
 * of 1 MiB take three quarters of the speed: pipe, ring and socket no longer fit into L2.
 */
#define READ_MAX (64u << 10)

static void limit(struct iovec iov[2], size_t max)
{
	iov[0].iov_len = MIN(iov[0].iov_len, max);
	iov[1].iov_len = MIN(iov[1].iov_len, max - iov[0].iov_len);
}

static void source_close(struct source *s)
{
	ev_io_stop(loop_ev(), &s->io);
	fd_close(&s->fd);
}

void source_poll(struct source *s)
{
	struct iovec iov[2];
	ssize_t n;

	if (s->fd < 0)
		return;
	if (ring_prepare(&s->ring, s->floor(s), iov) == 0) {
		ev_io_stop(loop_ev(), &s->io);
		if (s->full)
			s->full(s);
		return;
	}
	limit(iov, READ_MAX);
	n = readv(s->fd, iov, iov[1].iov_len ? 2 : 1);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* A pty master reports EIO, not the end, once nobody has the other side open. */
	if (n <= 0) {
		s->eof = true;
		source_close(s);
	} else {
		ring_commit(&s->ring, (size_t)n);
		if (!s->wide && s->ring.head > PIPE_WIDE_AFTER) {
			s->wide = true;
			/* Refused above pipe-user-pages-soft, or no pipe: slower, not wrong. */
			fcntl(s->fd, F_SETPIPE_SZ, PIPE_WIDE);
		}
	}
	s->more(s);
}

static void on_source(struct ev_loop *ev, struct ev_io *w, int revents)
{
	(void)ev, (void)revents;
	source_poll(CONTAINER_OF(w, struct source, io));
}

void source_init(struct source *s, size_t limit, struct ring_budget *budget,
	uint64_t (*floor)(struct source *source), void (*more)(struct source *source))
{
	*s = (struct source){.fd = -1, .floor = floor, .more = more};
	ring_init(&s->ring, limit, budget);
	ev_init(&s->io, on_source);
}

void source_fini(struct source *s)
{
	source_close(s);
	ring_fini(&s->ring);
}

void source_start(struct source *s, int fd, bool tty)
{
	s->fd = fd;
	/*
	 * A hang-up counts as both events in libev, which then tells epoll that it had not asked
	 * for one of them: asking for both, of an end that is never writable, saves the call.
	 */
	ev_io_set(&s->io, fd, tty ? EV_READ : EV_READ | EV_WRITE);
	s->wide = tty;
	ev_io_start(loop_ev(), &s->io);
}

void source_resume(struct source *s)
{
	if (s->fd >= 0 && !ev_is_active(&s->io))
		ev_io_start(loop_ev(), &s->io);
}

static void sink_close(struct sink *s)
{
	ev_io_stop(loop_ev(), &s->io);
	fd_close(&s->fd);
}

/* Bytes that the descriptor takes now; all of them when nobody reads any more. */
static size_t sink_push(struct sink *s, const char *bytes, size_t len)
{
	ssize_t n;

	if (s->broken)
		return len;
	if (s->fd < 0)
		return 0; /* not started yet */
	n = write(s->fd, bytes, len);
	if (n >= 0)
		return (size_t)n;
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	s->broken = true; /* EPIPE, or the terminal is gone */
	sink_close(s);
	return len;
}

static void on_sink(struct ev_loop *ev, struct ev_io *w, int revents)
{
	struct sink *s = CONTAINER_OF(w, struct sink, io);
	size_t n = buf_len(&s->queue);

	(void)revents;
	if (n)
		n = sink_push(s, buf_bytes(&s->queue), n);
	if (n)
		buf_consume(&s->queue, n);
	s->gone += n;
	if (buf_len(&s->queue) == 0) {
		ev_io_stop(ev, w);
		if (s->ending)
			sink_close(s);
	}
	if (n)
		s->consumed(s, n);
}

void sink_init(struct sink *s, size_t max, void (*consumed)(struct sink *sink, size_t len))
{
	*s = (struct sink){.fd = -1, .consumed = consumed};
	buf_init(&s->queue, max);
	ev_init(&s->io, on_sink);
}

void sink_fini(struct sink *s)
{
	sink_close(s);
	buf_fini(&s->queue);
}

void sink_start(struct sink *s, int fd)
{
	s->fd = fd;
	ev_io_set(&s->io, fd, EV_WRITE);
	if (buf_len(&s->queue) || s->ending)
		ev_io_start(loop_ev(), &s->io);
}

ssize_t sink_write(struct sink *s, const char *bytes, size_t len)
{
	size_t n = 0;

	if (s->ending || s->broken) {
		s->gone += len;
		return (ssize_t)len;
	}
	if (buf_len(&s->queue) == 0)
		n = sink_push(s, bytes, len);
	s->gone += n;
	if (n < len) {
		if (buf_add(&s->queue, bytes + n, len - n) < 0)
			return -ENOBUFS;
		if (s->fd >= 0)
			ev_io_start(loop_ev(), &s->io);
	}
	return (ssize_t)n;
}

void sink_end(struct sink *s)
{
	s->ending = true;
	if (s->fd >= 0 && buf_len(&s->queue) == 0)
		sink_close(s);
}
