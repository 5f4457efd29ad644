/* ctl/connect.c - the connection that a command works over */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ctl/command.h"
#include "ctl/report.h"

#define TOKEN_MAX 4096

/* Between two attempts, in microseconds: a guest that was just restored answers in milliseconds. */
#define PAUSE_FIRST 1000u
#define PAUSE_MAX   1000000u

/* The token without the newline that editors leave: bytes, or -errno. */
static ssize_t read_token(const struct ctl *ctl, char *token)
{
	ssize_t n = fd_read_file(ctl->token_file, token, TOKEN_MAX);

	if (n > 0 && token[n - 1] == '\n')
		n--;
	return n;
}

static int say_hello(
	struct ctl *ctl, uint32_t window, const char *token, size_t len, struct client_msg *msg)
{
	struct client_hello hello = {.name = "guestctl", .window = window};

	if (ctl->token_file) {
		hello.token = token;
		hello.token_len = len;
	}
	return client_hello(ctl->client, &hello, ANSWER_TIMEOUT_MS, msg);
}

/* Time for another attempt?  Waits before it, ever longer. */
static bool try_again(uint64_t until_us, useconds_t *pause)
{
	uint64_t now = clock_mono_us();

	if (now >= until_us)
		return false;
	usleep((useconds_t)MIN(*pause, until_us - now));
	*pause = MIN(2 * *pause, PAUSE_MAX);
	return true;
}

int ctl_connect(struct ctl *ctl, uint32_t window, struct client_msg *msg)
{
	uint64_t until = clock_mono_us() + 1000 * ctl->wait_ms;
	useconds_t pause = PAUSE_FIRST;
	char why[256], token[TOKEN_MAX];
	ssize_t n;
	int err;

	if (!ctl->endpoint)
		return ctl_usage(ctl, "no endpoint: give -c ENDPOINT or set GUESTD_ENDPOINT");
	n = ctl->token_file ? read_token(ctl, token) : 0;
	if (n < 0)
		return ctl_fail(
			ctl, "cannot read the token in %s: %s", ctl->token_file, strerror((int)-n));
	do {
		err = client_connect(
			ctl->endpoint, ANSWER_TIMEOUT_MS, &ctl->client, why, sizeof(why));
		if (err == -EINVAL)
			return ctl_usage(ctl, "%s", why);
		if (err)
			continue;
		err = say_hello(ctl, window, token, (size_t)n, msg);
		if (!err)
			return msg->error ? ctl_error(ctl, msg->error) : 0;
		snprintf(why, sizeof(why), "%s", client_why(ctl->client));
		client_close(ctl->client);
		ctl->client = NULL;
	} while (try_again(until, &pause));
	return report(ctl, STATUS_UNREACHABLE, "unreachable", why);
}
