/*
 * ctl/client_msg.h - one frame's body into a client_msg; inside the client library only
 */
#ifndef CTL_CLIENT_MSG_H
#define CTL_CLIENT_MSG_H

#include "ctl/client.h"

/* Where a message is taken apart: what it points at, besides the body itself. */
struct client_parse {
	struct doc *doc; /* owned; NULL for messages that carry no values */
	char name[64];   /* of a notification; a longer one is cut */
	const char *why; /* set on failure */
};

void client_parse_fini(struct client_parse *p);

/*
 * 1: *MSG, which lives until client_parse_fini, as long as BODY does; 0: a type of message that we
 * do not know, to be ignored; -EBADMSG: not of this protocol; -ENOMEM.
 */
MUST_CHECK int client_parse(
	struct client_parse *p, const char *body, size_t len, struct client_msg *msg);

#endif
