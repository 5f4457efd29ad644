/* ctl/relay.c - a whole call between the agent and our own descriptors */
#include "ctl/relay.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "ctl/interrupt.h"
#include "ctl/report.h"
#include "ctl/text.h"

/* Messages taken before input and signals have their turn again. */
#define BATCH 64

int relay_write(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd p = {.fd = fd, .events = POLLOUT};

			poll(&p, 1, -1);
		} else if (n < 0 && errno != EINTR) {
			return -errno;
		}
		n = MAX(n, 0);
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

/* 0 or -errno. */
static int take(struct relay *r, const struct client_msg *msg)
{
	/* The other side reads no more: neither do we. */
	if (msg->type == MSG_END && msg->channel == 0)
		r->in_fd = -1;
	if (r->take_err || !r->take)
		return 0;
	r->take_err = r->take(r->ctx, msg);
	if (!r->take_err)
		return 0;
	r->in_fd = -1;
	return client_cancel(r->client, r->id);
}

/* What has come, up to a batch: 1 with the response, 0, or -errno; *MORE: there may be more. */
static int take_batch(struct relay *r, struct client_msg *msg, bool *more)
{
	for (int i = 0; i < BATCH; i++) {
		int n = client_next(r->client, 0, msg);

		*more = n > 0;
		if (n <= 0)
			return n;
		if (msg->id != r->id || msg->type == MSG_NOTIFICATION || msg->type == MSG_CREDIT)
			continue;
		if (msg->type == MSG_RESPONSE)
			return 1;
		n = take(r, msg);
		if (n < 0)
			return n;
	}
	return 0;
}

/* Bytes that may be read now: one less than fit where a key is kept back. */
static size_t in_room(const struct relay *r)
{
	size_t room = MIN(MAX_DATA, client_room(r->client, r->id));

	return r->escape.key && room ? room - 1 : room;
}

/* N bytes of input, which begin at BYTES + 1.  0 or -errno. */
static int pass(struct relay *r, char *bytes, size_t n)
{
	if (!r->escape.key || !terminal_is_raw())
		return client_data(r->client, r->id, 0, bytes + 1, n);
	n = escape_filter(&r->escape, bytes + 1, n, bytes, &r->left);
	return client_data(r->client, r->id, 0, bytes, n);
}

/* One read's worth of input.  0 or -errno. */
static int feed(struct relay *r)
{
	char bytes[MAX_DATA + 1];
	ssize_t n = read(r->in_fd, bytes + 1, in_room(r));

	if (n > 0)
		return pass(r, bytes, (size_t)n);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0)
		r->in_err = -errno;
	r->in_fd = -1;
	return client_end(r->client, r->id, 0);
}

static int hear_signal(struct relay *r)
{
	int number = interrupt_hear();

	if (number == 0)
		return 0;
	if (number == SIGWINCH) {
		r->resized(r->ctx);
		return 0;
	}
	r->signal = number;
	r->in_fd = -1;
	r->left = r->leave;
	return r->left ? 0 : client_cancel(r->client, r->id);
}

/* Waits, unless MORE, and serves input and signals.  0 or -errno. */
static int serve(struct relay *r, bool more)
{
	bool feeding = r->in_fd >= 0 && in_room(r) > 0;
	struct pollfd p[] = {
		{.fd = client_fd(r->client), .events = client_events(r->client)},
		{.fd = interrupt_fd(), .events = POLLIN},
		{.fd = feeding ? r->in_fd : -1, .events = POLLIN},
	};

	if (poll(p, ARRAY_LEN(p), more ? 0 : -1) < 0)
		return errno == EINTR ? 0 : -errno;
	if (p[1].revents)
		return hear_signal(r);
	return p[2].revents ? feed(r) : 0;
}

/* 0 with the response, or -errno. */
static int run_call(struct relay *r, struct client_msg *response)
{
	bool more;
	int n = 0;

	while (n == 0 && !r->left) {
		n = take_batch(r, response, &more);
		if (n == 0)
			n = serve(r, more);
	}
	return n < 0 ? n : 0;
}

static int finish(const struct ctl *ctl, const struct relay *r, const struct client_msg *msg)
{
	if (r->in_err)
		report_note(ctl, "cannot read standard input: %s", strerror(-r->in_err));
	if (r->take_err == -EPIPE)
		return STATUS_SIGNALED + SIGPIPE;
	if (r->take_err == -ECANCELED)
		return STATUS_FAILED;
	if (r->take_err)
		return ctl_fail(ctl, "cannot write the output: %s", strerror(-r->take_err));
	if (r->left)
		return 0;
	if (msg->error && r->signal && text_is(val_get(msg->error, "code"), "canceled"))
		return STATUS_SIGNALED + r->signal;
	if (r->target && target_unknown(msg->error))
		return target_fail(ctl, r->target);
	if (msg->error && r->except && text_is(val_get(msg->error, "code"), r->except))
		return 0;
	return msg->error ? ctl_error(ctl, msg->error) : 0;
}

/* The request, up to its response in *MSG.  0 or an exit status. */
static int attempt(const struct ctl *ctl, struct relay *r, struct client_msg *msg)
{
	int err;

	r->params(r->ctx, client_begin(r->client, r->method, &r->id));
	if (client_send(r->client))
		return ctl_fail(ctl, "%s", client_why(r->client));
	err = run_call(r, msg);
	terminal_restore();
	r->lost = err && r->returns;
	if (r->lost)
		return STATUS_UNREACHABLE;
	return err ? ctl_lost(ctl) : 0;
}

int relay_run(struct ctl *ctl, struct relay *r, const struct val **result)
{
	struct client_msg msg = {0};
	int err, status = ctl->client ? 0 : ctl_connect(ctl, RELAY_WINDOW, &msg);

	if (status)
		return status;
	r->client = ctl->client;
	r->take_err = r->in_err = r->signal = 0;
	r->left = r->lost = false;
	err = interrupt_watch(r->resized != NULL);
	if (err)
		return ctl_fail(ctl, "cannot make a pipe: %s", strerror(-err));
	do {
		status = attempt(ctl, r, &msg);
	} while (!status && !r->left && r->target && target_unknown(msg.error) &&
		 target_next(r->target));
	interrupt_unwatch();
	*result = r->left ? NULL : msg.result;
	return status ? status : finish(ctl, r, &msg);
}
