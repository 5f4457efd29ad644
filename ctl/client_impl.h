/*
 * ctl/client_impl.h - what client.c and client_recv.c share; inside the client library only
 */
#ifndef CTL_CLIENT_IMPL_H
#define CTL_CLIENT_IMPL_H

#include "base/buf.h"
#include "ctl/client_msg.h"
#include "proto/frame.h"

struct client_call {
	uint32_t id;     /* 0: the slot is free */
	uint64_t room;   /* data bytes that we may send; no limit in transport mode */
	uint32_t unpaid; /* data bytes handed out and not yet granted again */
	bool manual_credit;
};

struct client {
	int fd;
	char why[256];
	uint32_t window;      /* what each call's data to us starts with; 0: transport mode */
	uint32_t peer_window; /* what each call's data from us starts with */
	uint32_t max_frame;   /* longest message that the agent takes */

	/* Sending. */
	struct buf out;
	bool send_broken; /* the agent takes no more; what it still says is read */
	bool begun;       /* between client_begin and client_send */
	struct enc enc;
	struct client_call *begun_call; /* its slot, or NULL when all are taken */
	uint32_t begun_id;

	/* Receiving. */
	struct frame_reader in;
	char *chunk; /* READ_CHUNK bytes, which frames are read from in place */
	struct client_parse parse;
	struct client_call *handed; /* whose data the last message was */
	size_t handed_len;
	bool goodbye; /* `why` holds the agent's own words */

	/* Calls. */
	unsigned n_calls;
	uint32_t next_slot, serial;
	struct client_call calls[MAX_CALLS]; /* at index id % MAX_CALLS */
};

/* Sets what client_why() tells, and returns ERR. */
int client_fail(struct client *c, int err, const char *fmt, ...) PRINTF(3, 4);

/* The open call ID, or NULL. */
struct client_call *client_find(const struct client *c, uint32_t id);

#endif
