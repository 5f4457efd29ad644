/*
 * vsock/endpoint.h - endpoints as written on a command line
 *
 *	vsock:PORT (listen)  vsock:CID:PORT (dial)  unix:PATH  uds:PATH:PORT (dial)  fd:N (listen)
 *	serial:PATH
 */
#ifndef VSOCK_ENDPOINT_H
#define VSOCK_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

enum endpoint_kind { ENDPOINT_VSOCK, ENDPOINT_UNIX, ENDPOINT_UDS, ENDPOINT_FD, ENDPOINT_SERIAL };

struct endpoint {
	enum endpoint_kind kind;
	char path[108]; /* unix, uds, serial: what sockaddr_un holds */
	bool has_cid;   /* vsock:CID:PORT */
	uint32_t cid;
	uint32_t port; /* vsock, uds */
	int fd;        /* fd */
};

/* 0, or -EINVAL with a sentence in WHY. */
MUST_CHECK int endpoint_parse(const char *text, struct endpoint *ep, char *why, size_t why_len);

#endif
