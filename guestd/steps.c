/*
 * guestd/steps.c - long calls on workers, cut into steps
 *
 * Two blocks go round: the step that runs fills one, the loop sends the other.  Two buffers of
 * input do the same the other way.
 */
#include "guestd/steps.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "guestd/chan.h"
#include "guestd/conn.h"
#include "guestd/loop.h"
#include "guestd/method.h"
#include "guestd/req.h"
#include "proto/frame.h"
#include "proto/limits.h"

/* A step returns after that long even if its block is not full: others wait for the worker too. */
#define SLICE_US 50000u

/*
 * Input that may be there: what a connection reads without credits, and the message behind it; and what
 * a hello in the middle of it allows beyond that.
 */
#define INPUT_MAX   (INPUT_HIGH + MAX_DATA + INPUT_WINDOW)
#define INPUT_FIRST (128u << 10)

/*
 * A worker is woken for half of the input that may be in flight, so that the other half comes
 * meanwhile; or for what there is after this moment, in seconds.
 */
#define MOMENT 0.001

/* A step stops at EVENT_BATCH, one event later. */
#define EVENTS_MAX (EVENT_BATCH + MAX_FRAME + FRAME_HEADER)

/*
 * What was spliced is in a pipe of the block's own: while a file is read into a pipe nobody else can
 * read from that pipe (splice_file_to_pipe holds its lock), and the file may take its time.
 */
struct block {
	struct buf events; /* whole frames */
	char *data;
	int pipe[2];
	size_t len, sent;
	bool piped;
};

struct input {
	char *bytes;
	size_t cap, begin, end;
};

struct call {
	struct work work; /* the worker's, while work.busy; all else here is the loop's */
	const struct steps *steps;
	struct step step; /* the worker's too */
	uint32_t id;

	size_t block_size;
	size_t charged; /* of blocks_total */
	struct block block[2];
	struct block *filled; /* by the step: of its fields the pipe is the worker's */
	bool may_splice;
	unsigned sending, n_filled; /* block[sending] is the older one of those filled */

	struct input filling, writing; /* the latter is the worker's */
	bool input_ended;
	size_t gather;          /* bytes that are worth a step */
	struct ev_timer moment; /* runs: there may soon be as many */

	bool piped;       /* it counts in n_piped; the worker's */
	struct list link; /* calls */
	bool waiting;     /* after STEP_WAIT: */
	bool woken;       /* meant for the next one: a step is at work */
	struct ev_io io;
	struct ev_timer timer;

	bool begun;  /* a step was, so that its end is due */
	bool closed; /* no step will be */
};

static size_t blocks_total;
static struct list calls = {&calls, &calls};

static struct call *call_of(void *owner)
{
	return CONTAINER_OF(owner, struct call, work);
}

/* On a worker */

bool step_due(const struct step *s)
{
	size_t size = s->piped ? PIPE_BYTES : s->out_size;

	return (size && s->out_len == size) || buf_len(&s->events) >= EVENT_BATCH ||
	       work_canceled(s->work) || clock_mono_us() >= s->until_us;
}

void step_event_begin(struct step *s, struct enc *e)
{
	enc_frame_begin(e, &s->events);
	enc_array(e, 3);
	enc_uint(e, MSG_EVENT);
	enc_uint(e, call_of(s->work)->id);
}

void step_event_end(struct step *s, struct enc *e)
{
	if (enc_frame_end(e, (uint32_t)s->work->max_result + EVENT_HEADER_MAX) < 0)
		s->too_long = true;
}

/* Calls that have pipes. */
static atomic_uint n_piped;

static int open_pipe(struct call *c, int pipe[2])
{
	if (!c->piped && atomic_fetch_add(&n_piped, 1) >= MAX_PIPED_CALLS) {
		atomic_fetch_sub(&n_piped, 1);
		return -EMFILE;
	}
	c->piped = true;
	if (pipe2(pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	if (fcntl(pipe[1], F_SETPIPE_SZ, PIPE_BYTES) < 0) {
		int err = -errno;

		fd_close(&pipe[0]);
		fd_close(&pipe[1]);
		return err;
	}
	return 0;
}

ssize_t step_splice(struct step *s, int fd, size_t len)
{
	struct call *c = call_of(s->work);
	int *pipe = c->filled->pipe;
	ssize_t n;

	if (!c->may_splice || (s->out_len && !s->piped))
		return -EOPNOTSUPP;
	if (pipe[1] < 0) {
		int err = open_pipe(c, pipe);

		if (err)
			return err;
	}
	n = splice(fd, NULL, pipe[1], NULL, MIN(len, PIPE_BYTES - s->out_len), SPLICE_F_NONBLOCK);
	if (n < 0)
		return -errno;
	if (n > 0)
		s->piped = true;
	s->out_len += (size_t)n;
	return n;
}

static int one_step(struct call *c)
{
	struct work *w = &c->work;
	int err;

	if (work_canceled(w))
		return -ECANCELED;
	c->begun = true;
	c->step.until_us = clock_mono_us() + SLICE_US;
	err = c->steps->step(w, &c->step);
	if (c->step.too_long)
		err = failure_set(
			&w->failure, ERR_LIMIT, NULL, NULL, "an event is longer than max_frame");
	return err;
}

static bool goes_on(const struct work *w)
{
	return w->err == STEP_MORE || w->err == STEP_WAIT;
}

static void run(struct job *job)
{
	struct work *w = CONTAINER_OF(job, struct work, job);
	struct call *c = call_of(w);
	int rights = work_enter(w);

	w->err = rights ? rights : one_step(c);
	/* Whatever becomes of the rights, it closes its descriptors. */
	if (!goes_on(w) && c->begun && c->steps->end)
		c->steps->end(w);
	if (!rights)
		work_leave(w);
}

/* Memory */

static void call_free(struct work *w)
{
	struct call *c = call_of(w);

	for (unsigned i = 0; i < ARRAY_LEN(c->block); i++) {
		buf_fini(&c->block[i].events);
		free(c->block[i].data);
		fd_close(&c->block[i].pipe[0]);
		fd_close(&c->block[i].pipe[1]);
	}
	if (c->piped)
		atomic_fetch_sub(&n_piped, 1);
	buf_fini(&c->step.events);
	ev_timer_stop(loop_ev(), &c->moment);
	free(c->filling.bytes);
	free(c->writing.bytes);
	free(w->state);
	blocks_total -= c->charged;
	list_del(&c->link);
	work_fini(w);
	free(c);
}

/* What the next step works with. */
static void give_block(struct call *c)
{
	struct block *b = &c->block[(c->sending + c->n_filled) % 2];

	if (c->block_size && !b->data) {
		b->data = xmalloc(c->block_size);
		c->charged += c->block_size;
		blocks_total += c->block_size;
	}
	c->filled = b;
	c->step.out = b->data;
	c->step.out_size = c->block_size;
	c->step.out_len = 0;
	c->step.piped = false;
}

static void give_input(struct call *c)
{
	if (c->writing.begin == c->writing.end) {
		struct input used = c->writing;

		c->writing = c->filling;
		c->filling = used;
		c->filling.begin = c->filling.end = 0;
	}
	c->step.in = c->writing.bytes + c->writing.begin;
	c->step.in_len = c->writing.end - c->writing.begin;
	c->step.in_used = 0;
	c->step.in_end = c->input_ended && c->filling.end == 0;
}

/* The rest is on the loop */

static void answer(struct req *req)
{
	struct work *w = req->chan.owner;

	if (w->err)
		work_refuse(w, req);
	else
		work_reply(w, req);
	call_free(w);
}

/* No step follows.  The answer stands behind what is still to be sent. */
static void over(struct work *w)
{
	struct call *c = call_of(w);

	c->closed = true;
	if (!c->n_filled)
		req_reply_later(w->req, answer);
}

/* Input that a step is to have now. */
static bool has_input(const struct call *c)
{
	return c->input_ended || c->filling.end >= c->gather ||
	       (c->filling.end && !ev_is_active(&c->moment)) || c->writing.begin < c->writing.end;
}

static void stop_waiting(struct call *c)
{
	c->waiting = false;
	ev_io_stop(loop_ev(), &c->io);
	ev_timer_stop(loop_ev(), &c->timer);
}

/* Goes on, if there is something to go on with; or ends, if nobody waits for it. */
static void advance(struct call *c)
{
	struct work *w = &c->work;

	if (w->busy || c->closed || !list_empty(&w->users.link))
		return;
	if (!work_canceled(w)) {
		if (c->waiting)
			return;
		if (c->n_filled == ARRAY_LEN(c->block))
			return;
		if (c->steps->input && !has_input(c))
			return;
		give_block(c);
		give_input(c);
	} else {
		c->step.in_used = c->step.out_len = 0; /* there will be none */
	}
	stop_waiting(c);
	w->busy = true;
	job_continue(&w->job);
}

static void wake(struct call *c)
{
	stop_waiting(c);
	advance(c);
}

static void on_readable(struct ev_loop *ev, struct ev_io *io, int revents)
{
	(void)ev, (void)revents;
	wake(CONTAINER_OF(io, struct call, io));
}

static void on_time(struct ev_loop *ev, struct ev_timer *timer, int revents)
{
	(void)ev, (void)revents;
	wake(CONTAINER_OF(timer, struct call, timer));
}

static void begin_wait(struct call *c)
{
	if (c->woken) {
		c->woken = false;
		return;
	}
	c->waiting = true;
	if (c->step.wait_fd >= 0) {
		ev_io_set(&c->io, c->step.wait_fd, EV_READ);
		ev_io_start(loop_ev(), &c->io);
	}
	if (c->step.wait_ms) {
		/* Counted from now: this turn may have begun long ago. */
		ev_timer_set(&c->timer, loop_turn_age() + c->step.wait_ms / 1000.0, 0);
		ev_timer_start(loop_ev(), &c->timer);
	}
}

void steps_wake(const struct steps *steps)
{
	list_each(link, &calls) {
		struct call *c = CONTAINER_OF(link, struct call, link);

		if (c->steps != steps)
			continue;
		if (c->waiting)
			wake(c);
		else
			c->woken = true;
	}
}

/* Tells the stream what there is of the older block. */
static void offer(struct call *c)
{
	const struct block *b = &c->block[c->sending];

	if (!c->n_filled)
		return;
	if (buf_len(&b->events))
		chan_events_ready(c->work.req);
	else
		chan_ready(c->work.req);
}

static void block_sent(struct call *c)
{
	c->n_filled--;
	c->sending = (c->sending + 1) % ARRAY_LEN(c->block);
	if (c->closed && !c->n_filled)
		req_reply_later(c->work.req, answer);
	offer(c);
	advance(c);
}

static void drop_blocks(struct call *c)
{
	for (unsigned i = 0; i < ARRAY_LEN(c->block); i++)
		buf_clear(&c->block[i].events);
	c->n_filled = 0;
}

/* What the step filled waits for the client now. */
static void take_block(struct call *c)
{
	struct block *b = &c->block[(c->sending + c->n_filled) % ARRAY_LEN(c->block)];
	struct buf empty = b->events;

	if (!c->step.out_len && !buf_len(&c->step.events))
		return;
	b->events = c->step.events;
	c->step.events = empty;
	b->len = c->step.out_len;
	b->piped = c->step.piped;
	b->sent = 0;
	if (!c->n_filled++)
		offer(c);
}

static void on_done(struct job *job)
{
	struct work *w = CONTAINER_OF(job, struct work, job);
	struct call *c = call_of(w);
	bool more = goes_on(w);

	if (work_retry(w))
		return;
	if (!w->req) {
		if (more)
			advance(c);
		else
			call_free(w);
		return;
	}
	if (c->step.in_used) {
		c->writing.begin += c->step.in_used;
		chan_consumed(w->req, c->step.in_used);
	}
	if (work_canceled(w)) {
		drop_blocks(c);
		buf_clear(&c->step.events);
	} else {
		take_block(c);
	}
	if (more) {
		if (w->err == STEP_WAIT)
			begin_wait(c);
		advance(c);
		return;
	}
	if (!w->err && w->result.failed)
		w->err = failure_set(
			&w->failure, ERR_LIMIT, NULL, NULL, "the result is longer than max_frame");
	over(w);
}

/* The stream */

static bool on_pull(void *owner, size_t max, struct chunk *chunk)
{
	struct call *c = call_of(owner);
	const struct block *b = &c->block[c->sending];

	if (!c->n_filled || buf_len(&b->events))
		return false;
	*chunk = (struct chunk){
		.channel = CHANNEL_OUT,
		.bytes = b->piped ? NULL : b->data + b->sent,
		.len = MIN(max, b->len - b->sent),
		.piped = b->piped,
		.pipe = b->pipe[0],
	};
	return chunk->len > 0;
}

static void on_taken(void *owner, const struct chunk *chunk)
{
	struct call *c = call_of(owner);
	struct block *b = &c->block[c->sending];

	b->sent += chunk->len;
	if (b->sent == b->len)
		block_sent(c);
}

/* Of the whole frame at P. */
static size_t frame_len(const char *p)
{
	uint32_t body;

	memcpy(&body, p, sizeof(body));
	return FRAME_HEADER + be32toh(body);
}

static bool on_events(void *owner)
{
	struct call *c = call_of(owner);
	struct conn *conn = c->work.req->conn;
	struct block *b = &c->block[c->sending];
	size_t batch = 0;

	while (c->n_filled && buf_len(&b->events) && batch < EVENT_BATCH) {
		const char *frame = buf_bytes(&b->events);
		size_t len = frame_len(frame);

		if (buf_add(&conn->out, frame, len) < 0)
			conn->overflowed = true;
		buf_consume(&b->events, len);
		batch += len;
	}
	if (batch && !buf_len(&b->events)) {
		if (b->len)
			chan_ready(c->work.req);
		else
			block_sent(c);
	}
	return c->n_filled && buf_len(&c->block[c->sending].events);
}

static void on_data(void *owner, unsigned channel, const char *bytes, size_t len)
{
	struct call *c = call_of(owner);
	struct req *req = c->work.req;
	struct input *in = &c->filling;

	if (channel != CHANNEL_IN || c->closed || work_canceled(&c->work)) {
		chan_consumed(req, len);
		return;
	}
	ASSERT(in->end + len <= INPUT_MAX);
	if (!in->end && len < c->gather) {
		ev_timer_stop(loop_ev(), &c->moment);
		ev_timer_set(&c->moment, MOMENT, 0);
		ev_timer_start(loop_ev(), &c->moment);
	}
	if (in->end + len > in->cap) {
		size_t cap = in->cap ? MIN(2 * in->cap, INPUT_MAX) : INPUT_FIRST;
		char *grown = realloc(in->bytes, cap);

		if (!grown) {
			conn_kill(req->conn, "out of memory");
			return;
		}
		in->bytes = grown;
		in->cap = cap;
	}
	memcpy(in->bytes + in->end, bytes, len);
	in->end += len;
	advance(c);
}

static void on_moment(struct ev_loop *ev, struct ev_timer *w, int revents)
{
	(void)ev, (void)revents;
	advance(CONTAINER_OF(w, struct call, moment));
}

static void on_eof(void *owner)
{
	struct call *c = call_of(owner);

	c->input_ended = true;
	advance(c);
}

static void on_cancel(void *owner)
{
	struct call *c = call_of(owner);
	struct work *w = &c->work;

	work_cancel(w);
	if (c->closed && c->n_filled) {
		w->err = -ECANCELED;
		drop_blocks(c);
		req_reply_later(w->req, answer);
	} else {
		advance(c);
	}
}

static void on_gone(void *owner)
{
	struct call *c = call_of(owner);

	if (!work_orphan(&c->work))
		return;
	if (c->begun && !c->closed)
		advance(c);
	else
		call_free(&c->work);
}

static const struct chan_ops output_ops = {
	.pull = on_pull,
	.events = on_events,
	.taken = on_taken,
	.cancel = on_cancel,
	.gone = on_gone,
};

static const struct chan_ops input_ops = {
	.pull = on_pull,
	.events = on_events,
	.taken = on_taken,
	.data = on_data,
	.eof = on_eof,
	.cancel = on_cancel,
	.gone = on_gone,
};

void steps_start(struct req *req, void *args)
{
	const struct steps *steps = req->method->steps;
	struct call *c = xcalloc(1, sizeof(*c));
	struct work *w = &c->work;

	c->steps = steps;
	c->id = req->id;
	c->step.work = w;
	c->step.wait_fd = -1;
	list_add_tail(&calls, &c->link);
	ev_init(&c->io, on_readable);
	ev_init(&c->timer, on_time);
	c->block_size = steps->block;
	if (blocks_total + ARRAY_LEN(c->block) * steps->block > BLOCK_TOTAL_MAX)
		c->block_size = MIN(steps->block, BLOCK_MIN);
	buf_init(&c->step.events, EVENTS_MAX);
	c->may_splice = req->conn->local;
	for (unsigned i = 0; i < ARRAY_LEN(c->block); i++) {
		buf_init(&c->block[i].events, EVENTS_MAX);
		c->block[i].pipe[0] = c->block[i].pipe[1] = -1;
	}
	w->state = xcalloc(1, MAX(steps->state_size, 1));
	w->job = (struct job){.class = JOB_SLOW, .work = run, .done = on_done};
	w->over = over;
	work_init(w, req, args, steps->input ? &input_ops : &output_ops);
	c->gather = (req->conn->credit_mode ? INPUT_WINDOW : INPUT_HIGH) / 2;
	ev_init(&c->moment, on_moment);
	give_block(c);
	give_input(c);
	work_begin(w);
}
