/* ctl/connect.c - the connection that a command works over */
#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "ctl/command.h"
#include "ctl/report.h"

#define TOKEN_MAX 4096

/* The token without the newline that editors leave: bytes, or -errno. */
static ssize_t read_token(const struct ctl *ctl, char *token)
{
	ssize_t n = fd_read_file(ctl->token_file, token, TOKEN_MAX);

	if (n > 0 && token[n - 1] == '\n')
		n--;
	return n;
}

static int say_hello(struct ctl *ctl, uint32_t window, struct client_msg *msg)
{
	struct client_hello hello = {.name = "guestctl", .window = window};
	char token[TOKEN_MAX];
	ssize_t n = ctl->token_file ? read_token(ctl, token) : 0;

	if (n < 0)
		return ctl_fail(
			ctl, "cannot read the token in %s: %s", ctl->token_file, strerror((int)-n));
	if (ctl->token_file) {
		hello.token = token;
		hello.token_len = (size_t)n;
	}
	if (client_hello(ctl->client, &hello, ANSWER_TIMEOUT_MS, msg))
		return ctl_lost(ctl);
	return msg->error ? ctl_error(ctl, msg->error) : 0;
}

int ctl_connect(struct ctl *ctl, uint32_t window, struct client_msg *msg)
{
	char why[256];
	int err;

	if (!ctl->endpoint)
		return ctl_usage(ctl, "no endpoint: give -c ENDPOINT or set GUESTD_ENDPOINT");
	err = client_connect(ctl->endpoint, ANSWER_TIMEOUT_MS, &ctl->client, why, sizeof(why));
	if (err == -EINVAL)
		return ctl_usage(ctl, "%s", why);
	if (err)
		return report(ctl, STATUS_UNREACHABLE, "unreachable", why);
	return say_hello(ctl, window, msg);
}
