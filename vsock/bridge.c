/* vsock/bridge.c - a serial line on one side, a stream socket on the other */
#include "vsock/bridge.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/cobs.h"
#include "proto/limits.h"

/* What one read takes: lines are slow. */
#define CHUNK 16384u

/* What one read makes, behind a message that was cut by the one before. */
#define UP_MAX   (MAX_FRAME + FRAME_HEADER + 2 * CHUNK)
#define DOWN_MAX (SERIAL_FRAME_MAX(MAX_FRAME) + 2 * CHUNK)

void bridge_init(struct bridge *b, int line, int stream)
{
	*b = (struct bridge){.line = line, .stream = stream};
	serial_init(&b->reader, MAX_FRAME);
	frame_init(&b->frames, MAX_FRAME);
	buf_init(&b->up, UP_MAX);
	buf_init(&b->down, DOWN_MAX);
}

void bridge_fini(struct bridge *b)
{
	serial_fini(&b->reader);
	frame_fini(&b->frames);
	buf_fini(&b->up);
	buf_fini(&b->down);
}

void bridge_set_stream(struct bridge *b, int stream)
{
	b->stream = stream;
	frame_fini(&b->frames);
	frame_init(&b->frames, MAX_FRAME);
	buf_clear(&b->up);
	/* The line may have got a part of the first: the next one begins with a zero byte. */
	buf_clear(&b->down);
}

void bridge_set_line(struct bridge *b, int line)
{
	b->line = line;
	serial_fini(&b->reader);
	serial_init(&b->reader, MAX_FRAME);
	buf_clear(&b->down);
}

short bridge_line_events(const struct bridge *b)
{
	return (short)((buf_len(&b->up) ? 0 : POLLIN) | (buf_len(&b->down) ? POLLOUT : 0));
}

short bridge_stream_events(const struct bridge *b)
{
	return (short)((buf_len(&b->down) ? 0 : POLLIN) | (buf_len(&b->up) ? POLLOUT : 0));
}

/* 0 for what passes by itself, -errno for what does not; -EPIPE for an end. */
static int trouble(ssize_t n)
{
	if (n == 0)
		return -EPIPE;
	return errno == EAGAIN || errno == EINTR ? 0 : -errno;
}

static int rise(struct bridge *b, const char *message, size_t len)
{
	char header[FRAME_HEADER];

	if (b->message)
		b->message(b, message, len);
	if (b->stream < 0)
		return 0;
	frame_header(header, (uint32_t)len);
	if (buf_add(&b->up, header, sizeof(header)) < 0 || buf_add(&b->up, message, len) < 0)
		return -ENOBUFS;
	return 0;
}

int bridge_line_in(struct bridge *b)
{
	char chunk[CHUNK];
	ssize_t n = read(b->line, chunk, sizeof(chunk));
	const char *message;
	size_t len;
	int err = 0;

	if (n <= 0)
		return trouble(n);
	serial_push(&b->reader, chunk, (size_t)n);
	while (!err && serial_next(&b->reader, &message, &len) == 1)
		err = rise(b, message, len);
	return err;
}

int bridge_stream_out(struct bridge *b)
{
	ssize_t n = send(b->stream, buf_bytes(&b->up), buf_len(&b->up), MSG_NOSIGNAL);

	if (n < 0)
		return trouble(n);
	buf_consume(&b->up, (size_t)n);
	return 0;
}

/* The CRC is written behind the message: a copy has room for it. */
static int sink(struct bridge *b, const char *body, size_t len)
{
	struct buf copy;
	char *message, *frame;

	buf_init(&copy, MAX_FRAME + 4);
	message = buf_reserve(&copy, len + 4);
	frame = buf_reserve(&b->down, SERIAL_FRAME_MAX(len));
	if (message && frame) {
		memcpy(message, body, len);
		buf_commit(&b->down, serial_frame_encode(message, len, frame));
	}
	buf_fini(&copy);
	return message && frame ? 0 : -ENOBUFS;
}

int bridge_stream_in(struct bridge *b)
{
	char chunk[CHUNK];
	ssize_t n = recv(b->stream, chunk, sizeof(chunk), 0);
	const char *body;
	size_t len;
	int more = 1, err = 0;

	if (n <= 0)
		return trouble(n);
	frame_push(&b->frames, chunk, (size_t)n);
	while (!err && (more = frame_next(&b->frames, &body, &len)) == 1)
		err = sink(b, body, len);
	return err ? err : more;
}

int bridge_line_out(struct bridge *b)
{
	ssize_t n = write(b->line, buf_bytes(&b->down), buf_len(&b->down));

	if (n < 0)
		return trouble(n);
	buf_consume(&b->down, (size_t)n);
	return 0;
}
