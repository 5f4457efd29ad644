/*
 * client_c.c - what test_client_c.py runs of libguestd: client_c cat|calls ENDPOINT
 *
 * cat: standard input through a `cat` in the guest, both ways at once, within the credits.  calls: what a program may do
 * wrong, and what comes of it.  Functions of its own are called as some inside of the library.
 */
#include <errno.h>
#include <guestd.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHECK(cond)                                                                                \
	((cond) ? 0 : fprintf(stderr, "line %d: %s: %s\n", __LINE__, #cond, guestd_why(g)))
#define TRY(cond)                                                                                  \
	do {                                                                                       \
		if (CHECK(cond))                                                                   \
			return 1;                                                                  \
	} while (0)

/* Names that the library has inside: they have nothing to do with each other. */
int client_send(void);
int buf_add(void);
int val_get(void);
int client_send(void)
{
	return 1;
}
int buf_add(void)
{
	return 2;
}
int val_get(void)
{
	return 3;
}

static char input[1 << 20];

/* What is there of standard input, as far as the agent takes it.  0, or -1 at its end. */
static int feed(struct guestd *g, uint32_t id)
{
	size_t room = guestd_room(g, id);
	ssize_t n = room ? read(0, input, room < sizeof(input) ? room : sizeof(input)) : 1;

	if (!room)
		return 0;
	if (n > 0)
		return guestd_data(g, id, input, (size_t)n);
	return guestd_end(g, id) ? -2 : -1;
}

static int cat(struct guestd *g)
{
	struct guestd_message m;
	int open = 1, r = 0;
	uint32_t id;

	guestd_begin(g, "proc.exec");
	guestd_put_array(g, "argv");
	guestd_put_str(g, NULL, "cat");
	guestd_put_end(g);
	guestd_put_bool(g, "stdin", true);
	guestd_put_map(g, "env");
	guestd_put_str(g, "A", "b");
	guestd_put_nil(g, "HOME");
	guestd_put_end(g);
	TRY(guestd_send(g, &id) == 0);
	while (r >= 0) {
		if (open && feed(g, id))
			open = 0;
		r = guestd_next(g, open && guestd_room(g, id) ? 0 : -1, &m);
		if (r == 1 && m.type == GUESTD_DATA)
			TRY(m.channel == GUESTD_OUT && fwrite(m.data, 1, m.len, stdout) == m.len);
		if (r == 1 && m.type == GUESTD_RESPONSE)
			return m.error != NULL;
	}
	return CHECK(r >= 0) ? 1 : 0;
}

static int calls(struct guestd *g)
{
	struct guestd_message m;
	const char *text;
	uint32_t id, other;
	int64_t number;
	size_t len;
	bool flag;

	/* Not written properly: nothing is sent, and the connection goes on. */
	guestd_begin(g, "proc.run");
	guestd_put_array(g, "argv");
	TRY(guestd_send(g, &id) == -EINVAL && strstr(guestd_why(g), "parameters"));
	guestd_begin(g, "proc.run");
	guestd_put_str(g, NULL, "no key");
	TRY(guestd_send(g, &id) == -EINVAL);
	guestd_begin(g, "proc.run");
	guestd_put_end(g);
	TRY(guestd_send(g, &id) == -EINVAL);
	guestd_begin(g, "fs.put");
	guestd_put_bytes(g, "data", input, sizeof(input));
	guestd_put_bytes(g, "path", input, sizeof(input));
	TRY(guestd_send(g, &id) == -EMSGSIZE);
	guestd_begin(g, "proc.run");
	for (int i = 0; i < 40; i++)
		guestd_put_map(g, "deep");
	TRY(guestd_send(g, &id) == -EINVAL);

	/* An error of the agent, a result, and what values are not. */
	guestd_begin(g, "fs.stat");
	guestd_put_str(g, "path", "/no/such/file");
	TRY(guestd_call(g, 20000, &m) == 0 && m.error && !m.result);
	TRY(guestd_is(guestd_get(m.error, "code"), "ENOENT") &&
		guestd_int(guestd_get(m.error, "errno"), &number) && number == ENOENT);
	guestd_begin(g, "proc.run");
	guestd_put_str(g, "cmd", "printf x; exit 3");
	guestd_put_int(g, "timeout_ms", 20000);
	TRY(guestd_call(g, 20000, &m) == 0 && m.result &&
		guestd_int(guestd_get(m.result, "code"), &number) && number == 3);
	TRY(guestd_bytes(guestd_get(m.result, "stdout"), &text, &len) && len == 1 &&
		text[0] == 'x');
	TRY(guestd_bool(guestd_get(m.result, "eof"), &flag) && flag &&
		guestd_is_nil(guestd_get(m.result, "signal")));
	TRY(!guestd_int(guestd_get(m.result, "stdout"), &number) &&
		!guestd_get(guestd_get(m.result, "none"), "of it"));
	TRY(guestd_count(m.result) > 10 && guestd_key_at(m.result, 0) &&
		!guestd_key_at(m.result, 1000) && !guestd_at(m.result, 0));
	TRY(guestd_value_at(m.result, 0) && !guestd_value_at(guestd_get(m.result, "code"), 0) &&
		strlen(guestd_instance(g)) > 0);

	/* A cancel, a wait that is over, data for what is not open. */
	guestd_begin(g, "proc.exec");
	guestd_put_str(g, "cmd", "exec sleep 1000");
	TRY(guestd_send(g, &id) == 0 && guestd_response(g, id, 100, &m) == -ETIMEDOUT &&
		guestd_room(g, id) > 0);
	TRY(guestd_data(g, id, input, guestd_room(g, id) + 1) == -EAGAIN);
	guestd_begin(g, "system.ping");
	TRY(guestd_send(g, &other) == 0 && other != id && guestd_cancel(g, id) == 0 &&
		guestd_flush(g) == 0);
	TRY(guestd_response(g, id, 20000, &m) == 0 &&
		guestd_is(guestd_get(m.error, "code"), "canceled"));
	TRY(guestd_room(g, id) == 0 && guestd_data(g, id, input, 0) == 0 && guestd_fd(g) >= 0 &&
		guestd_events(g) == POLLIN);
	return client_send() + buf_add() + val_get() != 6;
}

int main(int argc, char **argv)
{
	char why[256] = "usage";
	struct guestd *g = argc == 3 ? guestd_connect(argv[2], NULL, why, sizeof(why)) : NULL;
	int status;

	if (!g)
		return fprintf(stderr, "%d %s\n", errno, why), 2;
	status = strcmp(argv[1], "cat") == 0 ? cat(g) : calls(g);
	guestd_close(g);
	return status;
}
